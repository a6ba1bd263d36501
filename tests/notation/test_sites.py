"""The grammar of sites, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.base.errors import SiteError
from mechcheck.notation.sites import Site, Sites, attn_outs, heads, keys, mlps, neurons, queries, resid, resid_post, values


def test_the_grammar():
    assert heads("9.6 9.9@END").members == (Site("head", 9, 6), Site("head", 9, 9, "END"))
    assert heads("0.0-2, 1.1", at="S2").members == (*(Site("head", 0, i, "S2") for i in range(3)), Site("head", 1, 1, "S2"))
    assert heads("1.1@END", at="S2").members == (Site("head", 1, 1, "END"),)
    assert mlps("2-3").members == (Site("mlp_out", 2), Site("mlp_out", 3))
    assert resid(5) == resid("5")
    assert resid_post("1@S2").members == (Site("resid_post", 1, None, "S2"),)
    assert attn_outs("0-1@END").members == tuple(Site("attn_out", i, None, "END") for i in range(2))
    assert neurons("8.42").members == (Site("neuron", 8, 42),)
    assert heads([(1, 2), (0, 3)]) == heads("0.3 1.2")
    assert heads("10.0 9.6").pairs == ((9, 6), (10, 0))


def test_hook_names():
    assert [site.hook_name for site in heads("3.1") | mlps("2") | resid(0)] == [
        "blocks.3.attn.hook_z", "blocks.2.hook_mlp_out", "blocks.0.hook_resid_pre",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("some", "text", "places"),
    [
        (heads("9.6@END 0.1"), "0.1 9.6@END", "0.1 9.6@END"),
        (queries("0.1@END"), "query 0.1@END", "0.1@END"),
        (keys("0.1 1.2"), "key 0.1 1.2", "0.1 1.2"),
        (values("0.1"), "value 0.1", "0.1"),
        (attn_outs(3), "attn_out 3", "3"),
        (mlps("0-1@END"), "mlp 0@END 1@END", "0@END 1@END"),
        (neurons("3.42"), "neuron 3.42", "3.42"),
        (resid("5@S2"), "resid 5@S2", "5@S2"),
        (resid_post("5@S2"), "resid_post 5@S2", "5@S2"),
        (heads("0.1") | keys("0.1") | attn_outs(2), "attn_out 2 head 0.1 key 0.1", "2 0.1 0.1"),
        (Sites(), "", ""),
    ],
)
def test_the_text_tells_kinds_apart(some, text, places):
    assert (str(some), some.places) == (text, places)
    if len(some) == 1:
        assert str(some.members[0]) == text
        assert some.members[0].named == (f"head {text}" if some.members[0].kind == "head" else text)


@pytest.mark.parametrize("kind", [heads, queries, keys, values, neurons])
def test_places_are_read_back_by_the_kinds_own_function(kind):
    some = kind("9.6 9.9@END")
    assert kind(some.places) == some


sites = st.lists(
    st.builds(Site, st.just("head"), st.integers(0, 99), st.integers(0, 99), st.sampled_from([None, "END", "S2"])), max_size=6
).map(Sites)


@given(sites)
def test_what_is_written_is_read_back(some):
    assert heads(str(some)) == some
    assert heads(some) == some


@given(sites, sites)
def test_sets(a, b):
    assert set(a | b) == set(a) | set(b)
    assert set(a - b) == set(a) - set(b)
    assert len(a) == len(set(a))
    assert {site.at for site in a.at("END")} <= {"END"}


@pytest.mark.parametrize("text", ["9", "9.6.1", "x.1", "9.-1", "-1.0", "9.6@", "9.6 @END", "9.6@a b", "9.1-", "9,6;1"])
def test_text_that_is_no_head(text):
    with pytest.raises(SiteError, match=r"cannot read '.+' as sites of kind head; write them like '9\.6 9\.9@END'"):
        heads(text)


def test_other_errors():
    with pytest.raises(SiteError, match=r"cannot read '8\.1' as sites of kind mlp_out; write them like '8-11 5@END'"):
        mlps("8.1")
    with pytest.raises(SiteError, match="the range 5-2 runs backwards; write 2-5"):
        heads("1.5-2")
    with pytest.raises(SiteError, match=r"cannot read sites from 1\.5; write them as text"):
        mlps(1.5)
    with pytest.raises(SiteError, match="expected sites of kind head, got mlp 3"):
        heads(mlps("3"))
    with pytest.raises(SiteError, match="these sites are not attention heads: resid 2"):
        (heads("0.1") | resid(2)).pairs  # noqa: B018
