"""The fragments by which claims and files are linked to, on the page and from elsewhere."""

import hashlib
import re

_SAFE = re.compile(r"[A-Za-z0-9_.-]+")


def anchor(claim_id: str, kind: str = "claim") -> str:
    """The HTML id of a claim: `claim-<id>`, and a hash where the id has characters that a URL fragment cannot carry.

    Other kinds of things have anchors of their own: a "file" by its path.
    """
    if _SAFE.fullmatch(claim_id):
        return f"{kind}-{claim_id}"
    # Two ids that differ only in such characters must not share an anchor.
    digest = hashlib.sha256(claim_id.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", claim_id).strip("-")[:80]
    return f"{kind}-{slug}-{digest}" if slug else f"{kind}-{digest}"
