"""An attribute that is computed once, and keeps no other thread from computing it of another object."""

from threading import Event, Thread

from mechcheck.base.cached import cached_property


class Slow:
    """Computes when it may, and counts."""

    def __init__(self) -> None:
        self.may, self.begun, self.times = Event(), Event(), 0

    @cached_property
    def value(self) -> int:
        self.begun.set()
        assert self.may.wait(10)
        self.times += 1
        return self.times


def test_it_is_computed_once():
    one = Slow()
    one.may.set()
    assert (one.value, one.value, one.times) == (1, 1, 1)
    assert isinstance(Slow.__dict__["value"].func, object)
    assert Slow.value is Slow.__dict__["value"]


def test_another_object_does_not_wait():
    first, second = Slow(), Slow()
    waiting = Thread(target=lambda: first.value, daemon=True)
    waiting.start()
    assert first.begun.wait(10)
    second.may.set()
    found: list[int] = []
    other = Thread(target=lambda: found.append(second.value), daemon=True)
    other.start()
    other.join(10)
    assert found == [1]
    first.may.set()
    waiting.join(10)
    assert first.times == 1
