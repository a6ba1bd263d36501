"""Whether work can go on in copies of this process, which have everything loaded."""

import os
import sys


def why_no_copy() -> str | None:
    """Why runs have to load everything anew; None where they need not."""
    if not hasattr(os, "fork"):
        return "this system cannot copy a process"
    if sys.platform == "darwin":
        return "macOS does not allow a copied process to use its libraries for linear algebra and graphics"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA has been used in this process, and a copy could not use it"
    return None
