"""Find the heads that follow agreement and record them: mechcheck discover agreement MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those. (The model card's
table of heads, on held-out sentences of both halves, was known.)
"""

from mechcheck import (
    Found,
    Role,
    agreement_prompts,
    attention_to_positions,
    choose_heads,
    head_patching,
    recovery,
    run,
)

PROMPTS, SEED = 240, 0
TO_SUBJECT, SUBJECT_OVER_DISTRACTOR, CARRIES = 0.3, 0.2, 0.1

READER = (
    f"attention from the masked verb to the subject above {TO_SUBJECT}, and above that to the distractor by {SUBJECT_OVER_DISTRACTOR}; "
    f"patching it there from the run with the subject in the other number brings more than {CARRIES:.0%} of the way"
)
CARRIER = f"patching it at the masked verb from the run with the subject in the other number brings more than {CARRIES:.0%} of the way"


def find_roles(model, prompts) -> dict[str, Role]:
    """Heads that read the subject's number at the verb, and all heads that bring it there, by whatever way."""
    attention = attention_to_positions(model, prompts, "END", ["SUBJECT", "DISTRACTOR"]).mean(-1)
    to_subject, to_distractor = attention[:, :, 0], attention[:, :, 1]
    carried = recovery(head_patching(model, prompts, positions="END"), run(model, prompts), run(model, prompts.counterfactual))
    scores = {"END->SUBJECT": to_subject, "END->DISTRACTOR": to_distractor, "share of the way": carried}
    reads = (to_subject > TO_SUBJECT) & (to_subject - to_distractor > SUBJECT_OVER_DISTRACTOR)
    return {
        "subject_readers": choose_heads(
            scores, reads & (carried > CARRIES), criterion=READER, by="share of the way", candidates=1, at="END"
        ),
        "number_carriers": choose_heads(scores, carried > CARRIES, criterion=CARRIER, by="share of the way", candidates=3, at="END"),
    }  # fmt: skip


def find(model) -> Found:
    prompts = agreement_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    return Found(find_roles(model, prompts), prompts)
