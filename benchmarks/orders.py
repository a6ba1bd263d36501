"""Do claims depend on their order? Some of every folder, in random orders, subsets and numbers of processes, against one run.

Verdicts, estimates, intervals, decoys and counterexamples are compared as they are, to the last digit; of p-values those that are
adjusted for the other claims of a run are left out.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
CLAIMS = (
    "claims/abstraction/test_ioi_functions.py::test_the_answer_goes_through_the_name_movers[names-gpt2-seed4-answer]",
    "claims/agreement/test_agreement.py::test_ablation_removes_the_preference",
    "claims/attention/test_attention_maps.py::test_rollup_to_names[names-gpt2-seed4]",
    "claims/attention/test_counterfactual_attention.py::test_s_inhibition_heads_fetch_something_else[names-gpt2-seed0]",
    "claims/attention/test_induction_detection.py::test_thresholds_find_the_recorded_heads[names-neox-seed2-otsu]",
    "claims/compiled/test_compiled_ablations.py::test_wakes_the_backup",
    "claims/compiled/test_compiled_attention.py",
    "claims/compiled/test_compiled_edges.py::test_built_edges_are_faithful",
    "claims/compiled/test_compiled_gates.py",
    "claims/compiled/test_compiled_roles.py",
    "claims/confounds/test_what_else_ioi_could_be.py::test_loss_without_s_inhibition_is_no_matter_of_name_length_or_order[names-gpt2-seed1]",
    "claims/cross_model/test_steering_across.py::test_mapped_directions_point_as_its_own[names-gpt2-seed4-true-giver]",
    "claims/dissociation/test_ioi_and_induction.py",
    "claims/dose_response/test_more_is_more.py::test_preference_falls_with_each_name_mover[names-gpt2-seed4]",
    "claims/features/test_features_of_places.py::test_it_fires_where_it_should",
    "claims/gendered_pronoun/test_gendered_pronoun.py::test_agrees_with_the_noun",
    "claims/greater_than/test_greater_than.py::test_year_heads_carry_the_year[names-gpt2-seed6]",
    "claims/induction/test_induction.py::test_ablation_destroys_copying",
    "claims/ioi/test_any_people.py::test_name_movers_in_every_sentence[names-gpt2-seed4]",
    "claims/ioi/test_behaviour.py",
    "claims/ioi/test_name_movers.py",
    "claims/ioi/test_s_inhibition.py",
    "claims/lens/test_logit_lens.py::test_corrupted_prompt_resolves_to_the_other_name[names-gpt2-seed4]",
    "claims/negation/test_causes.py::test_ablation_removes_the_preference",
    "claims/replication/test_over_seeds.py",
    "claims/scrubbing/test_induction_hypotheses.py::test_heads_of_the_hypothesis_matter[names-gpt2-seed4-recorded]",
    "claims/steering/test_name_steering.py::test_shift_is_linear[names-neox-seed2-names-1.0]",
    "claims/studies/ioi/test_critical_heads.py::test_critical_heads_beat_random_heads[names-neox-seed2]",
    "claims/studies/test_progression.py::test_the_answer_appears_in_the_last_layer[names-gpt2-seed4]",
    "claims/subspaces/test_subject_subspace.py::test_directions_carry_the_subject[names-gpt2-seed4-das-1]",
    "claims/weights/test_composition.py::test_s_inhibition_heads_compose_with_name_movers[names-gpt2-seed4-Q]",
    "claims/weights/test_ov_and_qk_circuits.py::test_name_movers_copy_names[names-gpt2-seed0]",
)
"""Of each folder what is quick and needs no model from the hub: searches by random examples, directions that are fitted, several models."""
FIELDS = ("verdict", "met", "reason", "decoys", "model", "circuit", "prompts", "counterexamples")
PROCESSES = ("", "-n0", "-n1", "-n2", "-n3", "-n4")


def essence(folder: Path) -> dict[str, Any]:
    """What must not depend on how claims were run: claim's id -> verdict, estimates, contrasts."""
    evidence = json.loads((folder / "evidence.json").read_text())
    return {
        claim["id"]: {field: claim[field] for field in FIELDS} | {"expectations": [e | {"p_adjusted": None} for e in claim["expectations"]]}
        for claim in evidence["claims"]
    }


def run(folder: Path, options: Sequence[str], claims: Sequence[str] = CLAIMS) -> tuple[dict[str, Any], float]:
    """Run the claims; what they came to, and the seconds that took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", *claims, "-q", "--mech-profile=smoke", "--mech-report", str(folder), *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout)
    return essence(folder), round(time.perf_counter() - started, 1)


def orders(number: int, claims: Sequence[str] = CLAIMS) -> Iterator[dict[str, Any]]:
    """The claims straight on, then in so many random orders: options, how many claims were run, and which came out otherwise."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder)
        right, seconds = run(reports / "straight", ["-p", "no:randomly", "-p", "no:cacheprovider"], claims)
        names = sorted({name.partition("[")[0].rpartition("/")[2] for name in right})
        yield {"options": ["-p", "no:randomly"], "claims": len(right), "differ": [], "s": seconds}
        cache = f"cache_dir={reports / 'cache'}"
        for i in range(number):
            options = ["-p", "randomly", f"--randomly-seed={rng.randrange(10**6)}"]
            options += [PROCESSES[i % len(PROCESSES)]] if PROCESSES[i % len(PROCESSES)] else []
            if i % 3 == 1:
                options += ["-k", " or ".join(rng.sample(names, max(1, len(names) // 2)))]
            options += ["--lf"] if i % 5 == 4 else []
            found, seconds = run(reports / str(i), [*options, "-o", cache], claims)
            differ = sorted(name for name in found if found[name] != right.get(name))
            yield {"options": options, "claims": len(found), "differ": differ, "s": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--claims", nargs="+", default=CLAIMS, help="what pytest is given")
    parser.add_argument("--save", action="store_true", help="write results/orders.json too, after each run")
    chosen = parser.parse_args()
    rows = []
    for row in orders(chosen.orders, chosen.claims):
        rows.append(row)
        print(f"{row['claims']:>4} claims  {len(row['differ'])} differ  {row['s']:>6} s  {' '.join(row['options'])}", flush=True)
        if chosen.save:
            (RESULTS / "orders.json").write_text(json.dumps({"claims": chosen.claims, "rows": rows}, indent=1) + "\n")
    differ = sum(len(row["differ"]) for row in rows)
    print(f"{sum(row['claims'] for row in rows)} claims in {len(rows)} runs, {differ} came out otherwise than in the first")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
