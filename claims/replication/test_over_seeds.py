"""What holds over training seeds of one recipe, with the seed as the unit.

The shipped seeds of `names-gpt2` are no random sample of the recipe's: of ten that were tried, four do IOI by composition, four by a
shortcut, one by both, one fails, and one or two of each kind are shipped. So these say what such seeds have in common; for the recipe
itself train all ten (`fixtures/recipes/train_gpt2.py --seed N`) and give each with --mech-model. Thresholds were fixed on the
discovery prompts.
"""

from mechcheck import Ablate, claim, forest_figure, run

SOURCE = "Clark 1973, J. Verb. Learn. Verb. Behav. 12:335 (the interval); the claims are ours"
COMPOSING = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6"]


def lost(replica, method):
    """The share of the preference that is lost without the S-inhibition heads."""
    clean = run(replica.model, replica.prompts)
    without = run(replica.model, replica.prompts, Ablate(replica.circuit["s_inhibition"], method))
    return ((clean - without) / clean).named("share of the preference lost", "share")


@claim(
    "Whatever the seed, the model prefers the indirect object by more than 4 logits",
    source=SOURCE, task="ioi", kind="generalisation", models=["names-gpt2-seed0", *COMPOSING],
)  # fmt: skip
def test_every_seed_learns_the_task(replicas, check):
    found = check.replicates(replicas.measure(lambda one: run(one.model, one.prompts)), above=4.0)
    check.figure(lambda: forest_figure(found, "Preference for the indirect object", threshold=4.0))


@claim(
    "Over seeds that compose, ablating the S-inhibition heads takes away more than three quarters of the preference",
    source=SOURCE, task="ioi", kind="generalisation", models=COMPOSING,
)  # fmt: skip
def test_composing_seeds_need_their_s_inhibition_heads(replicas, check):
    found = check.replicates(replicas.measure(lambda one: lost(one, "mean")), above=0.75)
    check.figure(lambda: forest_figure(found, "Lost without the S-inhibition heads", threshold=0.75))


@claim(
    "Over all shipped seeds, the shortcut among them, ablating the S-inhibition heads takes away more than a tenth of the preference",
    source=SOURCE, task="ioi", kind="generalisation", models=["names-gpt2-seed0", *COMPOSING],
)  # fmt: skip
def test_seeds_of_both_kinds_need_them(replicas, check):
    """One seed in four without the effect, and the interval over seeds is wider than all they have in common: it should be inconclusive."""
    found = check.replicates(replicas.measure(lambda one: lost(one, "mean")), above=0.1)
    check.figure(lambda: forest_figure(found, "Lost without the S-inhibition heads", threshold=0.1))
