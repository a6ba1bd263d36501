"""Seeds that depend on what they are for, and on nothing else: not on the order, the process or the machine."""

from hashlib import sha256


def seed_from(text: str, n_bytes: int = 8) -> int:
    """A number below 256 ** n_bytes that is the same for the same text, everywhere and in every version: the start of its SHA-256.

    Args:
        text: what the seed is for ("<claim id>|<the run's seed>"); texts that differ have unrelated seeds.
        n_bytes: how many bytes of the hash, the most significant one first; 4 where a generator takes no more.
    """
    return int.from_bytes(sha256(text.encode()).digest()[:n_bytes], "big")
