"""A prompt's tokens as labels for the axes of a map: each readable, and no two alike (John, John_2)."""

from collections import Counter

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet


def token_labels(prompts: PromptSet, row: int) -> tuple[str, ...]:
    """One label per token of a prompt, padding left out; the second John is "John_2", the third "John_3".

    A label is the token's text without the space that marks a word's start, so that " John" and "John" count as the same
    word; white space by itself is written out ("\\n"). Prompts that were made without text show token ids.

    Raises:
        PromptError: no such prompt.
    """
    if not 0 <= row < len(prompts):
        raise PromptError(f"no prompt {row}; these are prompts 0-{len(prompts) - 1}")
    ids = prompts.tokens[row, : int(prompts.lengths[row])].tolist()
    texts = [_readable(word) for word in (prompts.words[row] if prompts.words else map(str, ids))]
    seen: Counter[str] = Counter()
    taken = set(texts)
    labels = []
    for text in texts:
        seen[text] += 1
        label = text
        while seen[text] > 1 and (label := f"{text}_{seen[text]}") in taken:  # a token may itself read "John_2"
            seen[text] += 1
        taken.add(label)
        labels.append(label)
    return tuple(labels)


def _readable(text: str) -> str:
    return text.strip() or repr(text)[1:-1]
