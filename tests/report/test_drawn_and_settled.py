"""What would settle a check, and how a claim drew its prompts, as the page tells it."""

from types import SimpleNamespace

from page_reader import Page

from mechcheck.report import render

LOOKS = [
    {"prompts": n, "templates": 12, "alpha_spent": 0.0016, "verdict": verdict}
    for n, verdict in ((24, "errored"), (48, "not_applicable"), (72, "inconclusive"))
]


def test_an_open_check_says_what_would_settle_it(make: SimpleNamespace) -> None:
    settles = {"text": "about <b>44</b> templates of 6 prompts", "mde": 0.2, "templates": 44, "prompts": 264}
    open_ = make.expectation(verdict="inconclusive", settles=settles)
    text = Page(render(make.evidence([make.claim(verdict="inconclusive", met=False, expectations=[open_])]))).text
    assert "To settle it: about <b>44</b> templates of 6 prompts." in text
    for settled in (make.expectation(settles=None), make.expectation()):
        assert "To settle it" not in Page(render(make.evidence([make.claim(expectations=[settled])]))).text


def test_how_its_prompts_were_drawn(make: SimpleNamespace) -> None:
    text = "not decided after 72 of 96 prompts (look 3 of 4)"
    sampling = {"budget": 96, "planned": 4, "looks": LOOKS, "stopped": "futile", "text": text}
    page = Page(render(make.evidence([make.claim(sampling=sampling)]))).text
    assert f"{text}; before: errored at 24, not applicable at 48" in page
    first = Page(render(make.evidence([make.claim(sampling=sampling | {"looks": LOOKS[2:]})]))).text
    assert text in first
    assert "before:" not in first
    assert "drawn" not in Page(render(make.evidence([make.claim(sampling=None)]))).text


def test_what_it_cost(make: SimpleNamespace) -> None:
    cost = {"forwards": 4608, "flops": 5_900_000_000, "cpu_s": 2.95, "peak_bytes": 3 * 2**28}
    text = Page(render(make.evidence([make.claim(cost=cost)]))).text
    assert "4,608 forward passes of a prompt, 5.9 GFLOP computed, 3.0 s of the processor, at most 768 MiB of memory" in " ".join(
        text.split()
    )
    unknown = " ".join(Page(render(make.evidence([make.claim(cost=cost | {"peak_bytes": None})]))).text.split())
    assert "3.0 s of the processor" in unknown
    assert "of memory" not in unknown
    assert "forward passes" not in Page(render(make.evidence([make.claim()]))).text
