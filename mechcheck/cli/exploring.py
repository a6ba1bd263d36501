"""`mechcheck explore`, as a command."""

import argparse
from importlib.util import find_spec
from urllib.parse import urlencode

from mechcheck.base.errors import MechcheckError

_NEEDED = ("starlette", "uvicorn")


def add_explore_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add it to the command line."""
    explore = commands.add_parser("explore", help="play with a model on a page of this machine: prompts, heads, interventions, attention")
    explore.add_argument("model", nargs="?", default="names-gpt2-seed4", help="as in --mech-model (default: %(default)s)")
    first = explore.add_mutually_exclusive_group()
    first.add_argument("--prompt", metavar="TEXT", help="the prompt that the page opens with")
    first.add_argument("--task", help="open with a prompt of this task (ioi, induction, ...)")
    explore.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: %(default)s)")
    explore.add_argument("--save-to", metavar="DIR", help="folder that claims made on the page are saved into")
    explore.set_defaults(run=_explore)


def _explore(chosen: argparse.Namespace) -> None:
    if any(find_spec(name) is None for name in _NEEDED):
        raise MechcheckError("the explorer needs starlette and uvicorn: pip install 'mechcheck[explore]'")
    from mechcheck.explorer.saving import folder_to_save_to
    from mechcheck.explorer.server import Server
    from mechcheck.models.loading import load_model
    from mechcheck.tasks.registry import check_task

    if chosen.task is not None:
        check_task(chosen.task)
    folder = None if chosen.save_to is None else folder_to_save_to(chosen.save_to)
    model = load_model(chosen.model, device=chosen.device, offline=True)
    server = Server(model, place=chosen.model, device=chosen.device, folder=folder)
    task = chosen.task or (None if chosen.prompt else server.workbench.first_task())
    opening = {name: value for name, value in (("text", chosen.prompt), ("task", task)) if value}
    print(f"{server.link}#{urlencode(opening)}", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:  # how one ends it
        return
