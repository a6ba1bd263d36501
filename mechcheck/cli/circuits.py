"""The commands about circuits: discover one, show, evaluate and compare those in files."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.cli.sharing import add_sharing, shared_by

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.notation.metrics import Metric
    from mechcheck.prompts.prompt_set import PromptSet

# As in `discover_edges`, `faithfulness` and `edge_stability`, which are not imported before they are wanted.
METHODS = ("prune", "exact", "eap", "eap-ig-inputs", "eap-ig-activations", "relp", "acdc", "edge-pruning", "information-flow", "contexts")
INSTEAD = ("counterfactual", "zero", "mean", "resample")
_Commands = argparse._SubParsersAction


def add_circuit_commands(commands: "_Commands[argparse.ArgumentParser]") -> None:
    """`discover`, and `circuit show`, `circuit eval` and `circuit diff`."""
    _add_discover(commands)
    circuit = commands.add_parser("circuit", help="show, evaluate or compare circuits in files, our own or as EAP-IG and MIB write them")
    actions = circuit.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="roles and edges of a circuit, and where they come from; or write it for other tools")
    show.add_argument("file", type=Path, help="a circuit's .toml (claims/...: a shipped one), or a .json as EAP-IG and MIB write it")
    show.add_argument("--model", help="as in --mech-model: whether the circuit fits it, and its graph, which --to asks for")
    show.add_argument("--to", type=Path, metavar="OUT", help="write the edges as .json (EAP-IG, MIB), .graphml or .dot")
    show.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")
    show.set_defaults(run=_show)
    judge = actions.add_parser("eval", help="how faithful, complete and minimal a circuit is on a task's verification prompts")
    judge.add_argument("file", type=Path, help="as for show")
    _add_measured(judge, needed=True)
    judge.add_argument("--tests", action="store_true", help="also the five tests beside random circuits (Shi et al. 2024)")
    judge.set_defaults(run=_eval)
    diff = actions.add_parser("diff", help="what two circuits share, and, on a model, which is more faithful at equal size")
    diff.add_argument("a", type=Path, help="as for show")
    diff.add_argument("b", type=Path, help="as for show")
    _add_measured(diff, needed=False)
    diff.set_defaults(run=_diff)


def _add_discover(commands: "_Commands[argparse.ArgumentParser]") -> None:
    discover = commands.add_parser("discover", help="search a model for the circuit that claims are about, on the discovery prompts")
    discover.add_argument("search", help="the claims' folder (ioi, induction, studies/ioi, ...), or the path of your own discover.py")
    discover.add_argument("model", nargs="+", help="as in --mech-model")
    discover.add_argument("-o", "--out", type=Path, default=Path("circuits"), help="for pytest --mech-circuits (default: %(default)s)")
    discover.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")
    discover.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="tell the search something, if it can be told; repeatable (induction: lengths=24,32 for segments of 24 to 32 tokens)",
    )  # fmt: skip
    discover.add_argument("--method", choices=METHODS, help="also search for edges, and write them beside the roles and as .json")
    size = discover.add_mutually_exclusive_group()
    size.add_argument("--size", type=int, metavar="N", help="of edges: so many")
    size.add_argument("--faithful", type=float, metavar="SHARE", help="as few as are so faithful, with all larger circuits (default: 0.9)")
    discover.add_argument("--n", type=int, metavar="N", help="prompts for edges, out of the search's own (default: all)")
    discover.add_argument(
        "--resamples", type=int, metavar="N",
        help="how often prompts are drawn again for the stability of the edges, 0 for none (default: 200 of scores, 20 of a search, 0 of "
        "contexts)",
    )  # fmt: skip
    _add_how(discover)
    add_sharing(discover)
    discover.set_defaults(run=_discover)


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instead", choices=INSTEAD, default=INSTEAD[0], help="what cut edges carry (default: %(default)s)")
    parser.add_argument("--metric", default="logit_diff", metavar="NAME", help="as mechcheck calls it (default: %(default)s)")


def _add_measured(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    parser.add_argument("--model", required=needed, help="as in --mech-model")
    parser.add_argument("--task", required=needed, help="whose prompts it is judged by (ioi, induction, ...)")
    parser.add_argument("--n", type=int, default=96, metavar="N", help="prompts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of prompts and draws (default: %(default)s)")
    parser.add_argument("--split", choices=("verify", "discover"), default="verify", help="half of the prompts (default: %(default)s)")
    parser.add_argument("--seen", action="store_true", help="allow prompts that a circuit was found on")
    _add_how(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")


def _discover(chosen: argparse.Namespace) -> None:
    from mechcheck.circuits.discover_scripts import load_search, read_option, searched, write_found
    from mechcheck.circuits.discovery import discover_edges
    from mechcheck.circuits.evaluation import Cut
    from mechcheck.circuits.graph_files import write_graph
    from mechcheck.cli.circuit_text import edge_lines, role_lines
    from mechcheck.models.loading import load_model

    given = {name: getattr(chosen, name) for name in ("size", "faithful", "n", "resamples") if getattr(chosen, name) is not None}
    if given and not chosen.method:
        raise MechcheckError(f"--{next(iter(given))} is about edges: name the search for them, --method {METHODS[0]}")
    search, options = load_search(chosen.search), dict(map(read_option, chosen.set))
    with shared_by(chosen) as executor:
        for name in chosen.model:
            model = load_model(name, device=chosen.device, offline=True)
            _check_writable(chosen.out)
            found, along = searched(search, model, options, executor), None
            if chosen.method:
                n = given.get("n", len(found.prompts))
                if not 1 < n <= len(found.prompts):
                    raise PromptError(
                        f"--n {n}: the search has {len(found.prompts)} prompts, and edges are searched for on 2 or more of them"
                    )
                cut = Cut(model, found.prompts[:n], chosen.instead, metric=_metric(chosen.metric, model), executor=executor)
                along = discover_edges(cut, chosen.method, size=chosen.size, faithful=chosen.faithful, resamples=chosen.resamples)
            path = write_found(search, model, chosen.out, found, along)
            print(path)
            print("\n".join(role_lines(found.roles)), end="\n" if found.roles else "")
            if along is not None:
                worth = along.found.rank.double().numpy() if along.scores is None else along.scores.mean
                graph, mask = along.found.graph, along.found.mask(len(along.edges))
                print(write_graph(path.with_suffix(".json"), graph, mask, worth, d_model=model.cfg.d_model))
                print("\n".join(edge_lines(along.edges, along.record)))


def _check_writable(folder: Path) -> None:
    """Before a search of hours, rather than behind it."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise MechcheckError(f"cannot write to {folder}: {there} is {'not writable' if there.is_dir() else 'no folder'}")


def _metric(name: str, model: "TransformerBridge") -> "Metric":
    import mechcheck
    from mechcheck.base.text import did_you_mean
    from mechcheck.notation.metrics import Metric

    found = getattr(mechcheck, name) if name in dir(mechcheck) else None
    if isinstance(found, Metric):
        return found
    if name in (of_years := ("later_years", "cutoff_sharpness")):
        found = getattr(mechcheck, name)(model)
        assert isinstance(found, Metric)
        return found
    known = [*of_years, *(other for other in dir(mechcheck) if isinstance(getattr(mechcheck, other), Metric))]
    raise MechcheckError(f"no metric is called {name!r}; choose one of {', '.join(sorted(known))}{did_you_mean(name, known)}")


def _show(chosen: argparse.Namespace) -> None:
    from mechcheck.circuits.evaluation import kept_edges
    from mechcheck.circuits.graph_files import write_graph
    from mechcheck.cli.circuit_files import read_circuit
    from mechcheck.cli.circuit_text import circuit_lines
    from mechcheck.models.loading import load_model
    from mechcheck.notation.circuit import parts_of
    from mechcheck.notation.graph import graph

    model = load_model(chosen.model, device=chosen.device, offline=True) if chosen.model else None
    file = read_circuit(chosen.file, model)
    print("\n".join(circuit_lines(file.circuit)))
    if model is not None:
        print(f"\nfits {chosen.model}, whose graph has {len(graph(model))} edges" if parts_of(file.circuit) else f"\nfits {chosen.model}")
    if chosen.to is None:
        return
    whole = file.graph if model is None else graph(model)
    if whole is None:
        raise MechcheckError("which edges a model's graph has is not said by this file: name the model, --model NAME")
    parts, scores = parts_of(file.circuit), file.worth(whole)
    along = any(part.to is not None for part in parts)
    kept = parts if along else kept_edges(whole, parts)
    print(write_graph(chosen.to, whole, kept, scores, d_model=0 if model is None else model.cfg.d_model))
    if along and any(part.at is not None for part in parts):
        print("edges act at named positions here, which stand beside them; EAP-IG and MIB pass over these")


def _prompts(chosen: argparse.Namespace, model: "TransformerBridge", split: str) -> "PromptSet":
    from mechcheck.tasks.shipped import task_prompts

    return task_prompts(chosen.task, model, n=chosen.n, seed=chosen.seed, split=split)  # type: ignore[arg-type]


def _eval(chosen: argparse.Namespace) -> None:
    from mechcheck.circuits.edge_search import check_unseen
    from mechcheck.circuits.evaluation import Cut
    from mechcheck.cli.circuit_files import read_circuit
    from mechcheck.cli.circuit_judgement import judgement
    from mechcheck.models.loading import load_model
    from mechcheck.tasks.registry import check_task

    check_task(chosen.task)
    model = load_model(chosen.model, device=chosen.device, offline=True)
    file = read_circuit(chosen.file, model)
    prompts = _prompts(chosen, model, chosen.split)
    if not chosen.seen:
        check_unseen(file.circuit, prompts)
    cut = Cut(model, prompts, chosen.instead, metric=_metric(chosen.metric, model))
    print(f"{chosen.file} on {len(prompts)} prompts of {chosen.task} ({chosen.split}, seed {chosen.seed}), {chosen.model}")
    for line in judgement(cut, file, tests=chosen.tests, seed=chosen.seed):
        print(line)


def _diff(chosen: argparse.Namespace) -> None:
    from mechcheck.circuits.comparison import circuit_overlap, compare_circuits
    from mechcheck.cli.circuit_files import read_circuit
    from mechcheck.cli.circuit_text import comparison_lines, overlap_lines
    from mechcheck.models.loading import load_model
    from mechcheck.tasks.registry import check_task

    if bool(chosen.model) != bool(chosen.task):
        raise MechcheckError("circuits are measured on a model and a task's prompts: give --model and --task, or neither")
    if chosen.task:
        check_task(chosen.task)
    model = load_model(chosen.model, device=chosen.device, offline=True) if chosen.model else None
    a, b = (read_circuit(path, model) for path in (chosen.a, chosen.b))
    print(f"a: {chosen.a}\nb: {chosen.b}")
    if model is None:
        print("\n".join(overlap_lines(circuit_overlap(a.circuit, b.circuit))))
        return
    prompts = _prompts(chosen, model, chosen.split)
    others = _prompts(chosen, model, "discover") if chosen.split == "verify" else None
    found = compare_circuits(
        model, prompts, a.circuit, b.circuit, instead=chosen.instead, metric=_metric(chosen.metric, model), cut_on=others,
        seen=chosen.seen, seed=chosen.seed,
    )  # fmt: skip
    print(f"on {len(prompts)} prompts of {chosen.task} ({chosen.split}, seed {chosen.seed}), {chosen.model}")
    print("\n".join(comparison_lines(found)))
