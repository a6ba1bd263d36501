"""One position may be given as its name, wherever several may be given."""

import numpy as np
from tiny import random_prompts

from mechcheck import attention_rollup, attention_to_positions, head_patching, logit_lens_map, residual_patching


def test_a_name_is_the_same_as_a_list_of_it(tiny):
    """A name is no list of its letters: the prompts have positions E, N and D too."""
    model, prompts = tiny("gpt2"), random_prompts(4, (9, 9))
    letters = {letter: 0 * prompts.lengths + at for at, letter in enumerate("END")}
    prompts, source = (type(prompts)(**{**vars(one), "positions": one.positions | letters}) for one in (prompts, prompts.counterfactual))
    for measure in (
        lambda at: residual_patching(model, prompts, at, source=source),
        lambda at: head_patching(model, prompts, source=source, positions=at).values,
        lambda at: attention_to_positions(model, prompts, "END", at),
        lambda at: attention_rollup(model, prompts, "1.0", at).values,
        lambda at: logit_lens_map(model, prompts, at).p_answer,
    ):
        np.testing.assert_array_equal(measure("END"), measure(["END"]))
        assert measure(["E", "N", "D"]).shape != measure("END").shape or np.abs(measure(["E", "N", "D"]) - measure("END")).max() > 1e-4
