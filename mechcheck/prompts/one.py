"""One prompt, as a hypothesis about it reads it: its tokens, by number and by the names of their places."""

from collections.abc import Mapping
from dataclasses import dataclass

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet


@dataclass(frozen=True)
class Prompt:
    """A prompt without what it is asked: `prompt["S2"]` is the token at S2, and of a span the tokens."""

    tokens: tuple[int, ...]
    """Its own, without padding."""
    places: Mapping[str, int | tuple[int, ...]]
    """Name -> position, counted from 0; of a span several."""
    template: str
    id: str

    def __getitem__(self, name: str) -> int | tuple[int, ...]:
        at = self.place(name)
        return self.tokens[at] if isinstance(at, int) else tuple(self.tokens[one] for one in at)

    def place(self, name: str) -> int | tuple[int, ...]:
        """Where that is.

        Raises:
            PromptError: the prompt has no such place.
        """
        if name not in self.places:
            raise PromptError(f"no position {name!r}; these prompts have {', '.join(sorted(self.places))}")
        return self.places[name]


def each_prompt(prompts: PromptSet) -> list[Prompt]:
    """The prompts one by one."""
    single = {name: at.tolist() for name, at in prompts.positions.items() if name not in prompts.spans}
    spans = {name: prompts.span(name) for name in prompts.spans}
    found = []
    for row, (tokens, length) in enumerate(zip(prompts.tokens.tolist(), prompts.lengths.tolist(), strict=True)):
        places: dict[str, int | tuple[int, ...]] = {name: at[row] for name, at in single.items()}
        places |= {name: tuple(mask[row].nonzero()[:, 0].tolist()) for name, mask in spans.items()}
        found.append(Prompt(tuple(tokens[:length]), places, prompts.templates[row], prompts.ids[row]))
    return found
