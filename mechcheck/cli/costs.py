"""Commands about what claims take: what they took, from their evidence."""

import argparse
import json
from pathlib import Path

from mechcheck.base.errors import MechcheckError


def add_cost_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`cost`."""
    cost = commands.add_parser("cost", help="what claims took: forward passes, operations, seconds, memory")
    cost.add_argument("evidence", type=Path, nargs="*", default=[Path("reports/evidence.json")], help="default: reports/evidence.json")
    cost.add_argument("--by", choices=("claim", "model"), default="claim", help="a line for each claim, or for each model (default: claim)")
    cost.add_argument("--json", action="store_true", help="print it as JSON")
    cost.set_defaults(run=_cost)


def _cost(chosen: argparse.Namespace) -> None:
    from mechcheck.evidence.costs.spent import cost_lines, cost_table
    from mechcheck.evidence.runs import read_evidence

    lines = cost_lines([claim for path in chosen.evidence for claim in read_evidence(path)["claims"]], chosen.by)
    if not lines:
        files = ", ".join(map(str, chosen.evidence))
        raise MechcheckError(f"{files} does not say what its claims took: nothing was run, or by an earlier version; run the claims again")
    print(json.dumps([line._asdict() for line in lines], indent=1, ensure_ascii=False) if chosen.json else cost_table(lines))
