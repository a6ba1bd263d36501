"""Scores of heads: what numpy sees of them."""

import numpy as np

from mechcheck.measures.head_scores import HeadScores

VALUES = np.arange(24.0).reshape(2, 3, 4)
SCORES = HeadScores(VALUES, ("p", "q", "r", "s"), ("t", "t", "u", "u"), "score")


def test_to_numpy_they_are_their_values():
    np.testing.assert_array_equal(np.asarray(SCORES), VALUES)
    np.testing.assert_array_equal(np.asarray(SCORES, dtype=np.int64), VALUES.astype(int))
    np.testing.assert_array_equal(SCORES[0, 2], [8, 9, 10, 11])
    np.testing.assert_array_equal(SCORES[..., 1], VALUES[..., 1])
    np.testing.assert_array_equal(np.mean(SCORES, axis=-1), SCORES.mean)
    np.testing.assert_array_equal(np.sqrt(SCORES), np.sqrt(VALUES))
    assert len(SCORES) == 2
    np.array(SCORES)[0] = -1  # a copy is the reader's own
    assert VALUES[0, 0, 0] == 0
