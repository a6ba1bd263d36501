"""Edges as sites: one receiver reads one sender otherwise."""

import numpy as np
import pytest
import torch
from by_hand import Parts, edge_patched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_spans_as_sites import LENGTHS, pair
from tiny import HUGGING_FACE, LAYOUTS, SAME_FORWARD

from mechcheck.base.errors import PromptError, SiteError
from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.notation.edges import edges, to
from mechcheck.notation.interventions import Ablate, Patch, Put, Scale, Steer
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss
from mechcheck.notation.sites import heads, mlps, resid

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
CASES = (
    "0.1->1.1.q", "0.1->1.0.k", "0.0->1.1.v", "input->0.0.q", "input->1.0.v", "mlp0->1.1.k", "0.2->mlp1", "mlp0->mlp1", "input->mlp0",
    "0.1->logits", "1.1->logits", "mlp0->logits", "mlp1->logits", "input->logits",
)  # fmt: skip


@pytest.mark.parametrize("at", [None, "END", "A", "AB"])
@pytest.mark.parametrize("name", (*LAYOUTS, "neox-sequential"))
def test_an_edge_by_hand(tiny, hugging_face, name, at):
    """Both runners against two passes of transformers' own model, for every kind of sender and receiver."""
    prompts, parts = pair(3), Parts(name, hugging_face(name))
    cases = [*CASES, *([] if name == "neox" else ["0.1->mlp0", "1.0->mlp1"])]
    right = []
    for case in cases:
        sender, receiver = case.split("->")
        row = []
        for i, n in enumerate(prompts.lengths.tolist()):
            where = None if at is None else prompts.span(at)[i].nonzero()[:, 0].tolist()
            tokens, source = prompts.tokens[i : i + 1, :n], prompts.counterfactual.tokens[i : i + 1, :n]
            logits = edge_patched(parts, sender, receiver, tokens, source, where)[0, -1]
            row.append(float(logits[prompts.answers[i]] - logits[prompts.foils[i]]))
        right.append(row)
    variants = [Patch(edges(case, at=at)) for case in cases]
    found = sweep(tiny(name, processing="raw"), prompts, variants)
    np.testing.assert_allclose(found, right, rtol=0, atol=HUGGING_FACE.get(name, 1e-5))
    with plain_hooks():
        np.testing.assert_allclose(sweep(tiny(name), prompts, variants), right, rtol=0, atol=max(1e-5, HUGGING_FACE.get(name, 1e-5)))
