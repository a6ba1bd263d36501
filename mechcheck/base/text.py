"""Text cut to the room there is for it."""


def shorten(text: str, most: int) -> str:
    """The text in at most `most` characters; where some are cut off at its end, the last one is an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"
