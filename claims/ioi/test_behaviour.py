"""Does the model do IOI at all, on people and sentences it never saw together?"""

from mechcheck import Ablate, claim, grid, heads, run

WANG = "Wang et al. 2022, arXiv:2211.00593"


@claim("On held-out people and sentences the model prefers the indirect object to the subject", source=WANG, task="ioi", kind="behaviour")
def test_prefers_the_indirect_object(model, prompts, check):
    preference = run(model, prompts)
    check.above(preference, 0.0)
    check.rate(preference > 0, above=0.9)


@claim(
    "The preference follows the repeated name: with the second subject flipped, the answer flips", source=WANG, task="ioi", kind="behaviour"
)
def test_follows_the_repeated_name(model, prompts, check):
    flipped = run(model, prompts.counterfactual)
    check.below(flipped, 0.0)
    check.rate(flipped < 0, above=0.9)


@claim(
    "The answer is composed: without what layer 0 brings to END, at most a quarter of the preference is left",
    source=WANG, task="ioi", kind="necessity", expect={"names-gpt2-seed0": "refuted"}, decoy={"position": "S1"},
    over=grid(method=["zero", "mean", "resample"]), version=2,
)  # fmt: skip
def test_needs_the_first_layer_at_end(model, prompts, check, method, position="END"):
    first_layer = heads([(0, head) for head in range(model.cfg.n_heads)], at=position)
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    check.above((clean - run(model, prompts, Ablate(first_layer, method))) / clean, 0.75, "share of the preference lost > 0.75")
