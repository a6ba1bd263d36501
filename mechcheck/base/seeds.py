"""Seeds that come from what is seeded, so that they are the same in any order of tests and on any number of processes."""

from hashlib import sha256


def seed_from(text: str, *, bytes: int = 8) -> int:
    """A seed from a text: the first bytes of its SHA-256, the most significant first."""
    return int.from_bytes(sha256(text.encode()).digest()[:bytes], "big")
