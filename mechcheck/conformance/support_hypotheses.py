"""Hypotheses about a tiny model, tested on it: rows of the support table."""

from typing import Any

import mechcheck as m
from mechcheck.conformance.support_bench import Bench, Try

_HYPOTHESIS = m.Node(reads=[m.Node("1.2->logits@END", reads=[m.Node("0.1->1.2.q@END", "S2"), m.Node("input->1.2.q@END", m.nothing)])])


def _scrubbed(b: Bench) -> Any:
    found = m.causal_scrubbing(b.model, b.prompts, _HYPOTHESIS, draws=2)
    return found.scrubbed.values, found.random.values, len(m.hypothesis_decoys(b.model, b.prompts, _HYPOTHESIS, n=1).random)


def _abstracted(b: Bench) -> Any:
    def function(prompt: m.Prompt, let: Any) -> int:
        subject = let("subject", prompt["S2"])
        return int(let("answer", prompt["IO"] if subject == prompt["S1"] else prompt["S1"]))

    found = m.causal_abstraction(b.model, b.prompts, function, {"subject": m.heads("0.1@END"), "answer": m.heads("1.2@END")})
    return found.accuracy.values, found.error.values


HYPOTHESES: dict[str, Try] = {
    "`causal_scrubbing`, `hypothesis_decoys`": _scrubbed,
    "`causal_abstraction`": _abstracted,
}
