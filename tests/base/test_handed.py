"""Shared objects are announced before they are handed out, to those who listen then."""

from mechcheck.base.handed import hand_out, handed_to


def test_who_listens_is_told():
    first: list[object] = []
    second: list[object] = []
    assert hand_out("nobody") == "nobody"
    with handed_to(first.append):
        hand_out("a")
        with handed_to(second.append):
            assert hand_out("b") == "b"
        hand_out("c")
    hand_out("d")
    assert (first, second) == (["a", "b", "c"], ["b"])


def test_models_are_announced(model_dirs):
    from mechcheck.models.loading import load_model, reinitialised

    seen: list[object] = []
    with handed_to(seen.append):
        model = load_model(model_dirs["gpt2"], dtype="float64")
        twin = reinitialised(model, 3)
    assert [id(one) for one in seen] == [id(model), id(twin)]
