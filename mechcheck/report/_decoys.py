"""What became of a claim's decoys, in words."""

from typing import Any

Json = dict[str, Any]


def other_decoys(runs: Json) -> str:
    """What became of the decoys that were not rejected, e.g. ", 1 satisfied the claim too, 3 decided nothing"."""
    undecided = runs["n"] - runs["rejected"] - runs["supported"]
    said = [f"{runs['supported']} satisfied the claim too"] if runs["supported"] else []
    return "".join(f", {one}" for one in [*said, *([f"{undecided} decided nothing"] if undecided > 0 else [])])
