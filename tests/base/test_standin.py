"""Stand-ins: a public name that is only handed on is not imported, and whatever else is done with it is done with the real one."""

import typing
from dataclasses import dataclass

import pytest

from mechcheck.base.standin import StandIn, by_name, list_only

TAKEN: list[str] = []


class Kind:
    def __init__(self, size=1):
        self.size = size

    @classmethod
    def small(cls):
        return cls(0)


def twice(x):
    return 2 * x


class OwnError(Exception):
    pass


REAL = {"Kind": Kind, "twice": twice, "LIMIT": 7, "OwnError": OwnError}


def take(name):
    TAKEN.append(name)
    try:
        return REAL[name]
    except KeyError:
        raise AttributeError(name) from None


@pytest.fixture
def get():
    """The `__getattr__` of a package, where tests are only listed."""
    TAKEN.clear()
    list_only(True)
    yield by_name(take, REAL)
    list_only(False)


def test_a_name_that_is_handed_on_is_not_taken(get):
    assert isinstance(get("Kind"), StandIn)
    assert get("Kind") is get("Kind")
    assert getattr(get("twice"), "__test__", None) is None
    assert not TAKEN


def test_what_may_be_a_parameter_or_be_caught_is_taken_at_once(get):
    assert get("LIMIT") == 7
    assert get("OwnError") is OwnError
    with pytest.raises(AttributeError):
        get("no_such_name")


def test_what_is_done_with_it_is_done_with_the_real_one(get):
    kind = get("Kind")
    assert get("twice")(4) == 8
    assert get("twice").__name__ == "twice"
    assert type(kind(3)) is Kind
    assert kind.small().size == 0
    assert isinstance(Kind(), kind)
    assert not isinstance(1, kind)
    assert (kind | None) == (Kind | None)
    assert (int | kind) == (int | Kind)

    class Own(kind):
        pass

    assert issubclass(Own, Kind)

    @dataclass
    class Holder:
        one: kind
        many: typing.Optional[list[kind]] = None  # noqa: UP045  # as one may still write it

    assert Holder(1).one == 1


def test_where_tests_run_names_are_what_they_are(get):
    listed = get("twice")
    list_only(False)
    assert get("twice") is twice
    assert listed(5) == 10
