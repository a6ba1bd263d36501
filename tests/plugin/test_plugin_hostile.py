"""Whatever stands in claims, prompts and exceptions: nothing commands a terminal, turns a line around, or gives a secret away."""

import re

import numpy as np
import pytest
from runs import OLD, claim, write_run

from mechcheck import cli

ESC, OSC, BIDI, BEL, CR = "\x1b[2J", "\x1b]0;owned\x07", "\u202eevil\u2066", "\x07", "\rover"
HOSTILE = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
BAD = ESC + OSC + BIDI + BEL + CR
SOURCE = f"""
BAD = {BAD!r}

class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no text" + BAD)
    __repr__ = __str__

class Value:
    def __init__(self, text): self.text = text
    def __str__(self): return self.text

@claim("says" + BAD, source="from" + BAD, id="statement" + BAD, decoy={{"mean": -1.0}})
def test_statement(check, mean=1.0):
    check.above(around(mean, "effect" + BAD), 0, label="label" + BAD)
    check.figure(head_heatmap(BAD, np.ones((2, 2)), BAD))

@claim("refuted" + BAD, id="refuted")
def test_refuted(check):
    check.above(around(-1.0, "effect" + BAD), 0, label="label" + BAD)

@pytest.mark.parametrize("value", [Value(BAD)], ids=["one"])
@claim("params", id="params", decoy={{"mean": -1.0}})
def test_params(value, check, mean=1.0):
    check.above(around(mean), 0)

@claim("raises", id="raises")
def test_raises(check):
    raise ValueError("told" + BAD)

@claim("asserts", id="asserts")
def test_asserts(check):
    assert BAD == "other" + BAD

@claim("fails", id="fails")
def test_fails(check):
    pytest.fail("told" + BAD)

@claim("skips", id="skips")
def test_skips(check):
    pytest.skip("told" + BAD)

@claim("xfails", id="xfails")
def test_xfails(check):
    pytest.xfail("told" + BAD)

@pytest.fixture
def broken():
    raise OSError("told" + BAD)

@claim("fixture", id="fixture")
def test_fixture(broken, check): ...

@claim("crashes on its contrast", id="contrast", decoy={{"mean": -1.0}})
def test_contrast(check, mean=1.0):
    check.above(around(mean), 0)
    if mean < 0:
        raise KeyError("told" + BAD)

@claim("searches", id="search", decoy={{"least": 2}})
def test_search(check, least=0):
    from hypothesis import strategies as st
    check.for_all(st.sampled_from([BAD, "other"]), lambda text: text == "x" * least)

@claim("rude", id="rude")
def test_rude(check):
    raise Rude()

@claim("rude key", id="rude-key")
def test_rude_key(check):
    raise KeyError(Rude())

@claim("rude contrast", id="rude-contrast", decoy={{"mean": -1.0}})
def test_rude_contrast(check, mean=1.0):
    check.above(around(mean), 0)
    if mean < 0:
        raise Rude()

@pytest.mark.parametrize(("value", "other"), [(Rude(), "two")], ids=["one"])
@claim("rude parameter", id="rude-parameter", decoy={{"mean": -1.0}}, expect={{"two": "supported"}})
def test_rude_parameter(value, other, check, mean=1.0):
    check.above(around(mean), 0)
"""


def by_id(run) -> dict[str, dict]:
    return {claim["id"]: claim for claim in run.evidence["claims"]}


def texts(folder) -> dict[str, str]:
    """Every file of a run, but for the source and what Python makes of it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc") and ".cache" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes().decode("utf-8", "replace") for path in files if path.suffix != ".npz"}


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "two"])
def test_nothing_hostile_leaves(claims, pytester, capsys, options):
    run = claims(SOURCE, "--junitxml=junit.xml", "--html=pytest.html", "--self-contained-html", "-ra", "-vv", *options)
    outputs = texts(pytester.path) | {"terminal": run.output + run.result.stderr.str()}
    capsys.readouterr()
    assert cli.main(["summary", str(run.report)]) == 0
    outputs["summary"] = capsys.readouterr().out
    assert {"reports/evidence.json", "reports/index.html", "junit.xml", "pytest.html"} <= outputs.keys()
    for name, text in outputs.items():
        found = [text[max(0, m.start() - 60) : m.end() + 20] for m in HOSTILE.finditer(text)]
        assert not found, (name, found[:3])
    for name in ("terminal", "reports/index.html", "summary"):
        assert r"\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\x07\x0dover" in outputs[name], name
    for name in ("raises", "asserts", "fails", "xfails", "fixture", "contrast", "search"):
        assert by_id(run)[name]["verdict"] in ("errored", "refuted"), name
    assert by_id(run)["params[one]"]["verdict"] == run.claim("statement")["verdict"] == "supported"
    assert by_id(run)["raises"]["reason"].startswith(r"ValueError: told\x1b[2J")


def test_what_cannot_be_told_is_an_error_of_its_type(claims):
    run = claims(SOURCE, "-k", "rude")
    said = "which cannot be shown: its text raised RuntimeError>"
    found = by_id(run)
    assert (found["rude"]["verdict"], found["rude"]["reason"]) == ("errored", f"Rude: <Rude, {said}")
    assert found["rude-contrast"]["reason"].endswith(f"Rude: <Rude, {said}")
    assert found["rude-key"]["reason"] == f"KeyError: <KeyError, {said}"
    assert found["rude-parameter[one]"]["verdict"] == "supported"
    assert found["rude-parameter[one]"]["params"] == {"value": f"<Rude, {said}", "other": "two"}


SECRETS = {
    "HF_TOKEN": "correct-horse-battery",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfi",
    "MY_PASSWORD": "staple&<staple>'staple",
}
IN_TEXT = ("hf_AbCdEfGhIjKlMnOpQrStUv", "pa55word", "AKIAIOSFODNN7EXAMPLE")


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "two"])
def test_nothing_secret_is_kept(claims, pytester, capsys, monkeypatch, options):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    home = pytester.path / "home"
    (home / "circuits").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    run = claims(
        """
        def told():
            planted = [value for name, value in os.environ.items() if name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD")]
            return " ".join([*planted, "hf_AbCdEfGhIjKlMnOp" + "QrStUv", "https://me:pa55" + "word@host", "AKIAIOSFODNN7" + "EXAMPLE"])

        @claim("says " + told(), id="says", source=told(), decoy={"mean": -1.0})
        def test_says(check, mean=1.0):
            print(told())
            check.above(around(mean, told()), 0, label=told())
            check.figure(head_heatmap(told(), np.ones((2, 2)), told()))

        @claim("raises", id="raises")
        def test_raises(check):
            print(told())
            raise ValueError(told())

        @claim("samples", id="samples", decoy={"mean": -1.0})
        def test_samples(check, mean=1.0):
            ids = tuple(f"p{i} {told()}" for i in range(24))
            check.above(Measurement(mean + NOISE, ids, tuple(f"t{i % 8} {told()}" for i in range(24))), 0)

        @pytest.mark.parametrize("value", [told()], ids=["one"])
        @claim("params", id="params", decoy={"mean": -1.0})
        def test_params(value, check, mean=1.0):
            check.above(around(mean), 0)
        """,
        "--junitxml=junit.xml", "--html=pytest.html", "--self-contained-html", "-ra", "-rA", "-o", "junit_logging=all",
        f"--junitprefix=https://me:pa55word@host/?token={SECRETS['HF_TOKEN']}", f"--mech-circuits={home / 'circuits'}", *options,
    )  # fmt: skip
    assert run.claim("says")["verdict"] == run.claim("samples")["verdict"] == "supported"
    outputs = texts(pytester.path) | {"terminal": run.output + run.result.stderr.str()}
    capsys.readouterr()
    assert cli.main(["summary", str(run.report)]) == 0
    outputs["summary"] = capsys.readouterr().out
    for path in run.samples.glob("*.npz"):
        with np.load(path) as stored:
            outputs[path.name] = " ".join(str(word) for name in stored.files for word in stored[name].tolist())
    del outputs["junit.xml"]  # pytest's own prefix is in it, which was asked for; looked at below
    for name, text in outputs.items():
        for secret in (*SECRETS.values(), *IN_TEXT):
            assert secret not in text, (name, text[max(0, text.find(secret) - 200) :][:300])
    argv = run.evidence["run"]["argv"]
    assert "--mech-circuits=~/circuits" in argv
    assert "--junitprefix=https://me:***@host/?token=***" in argv
    assert "--mech-circuits=~/circuits" in run.claim("says")["command"]
    assert str(home) not in outputs["reports/evidence.json"] + outputs["reports/index.html"] + outputs["summary"]
    junit = (pytester.path / "junit.xml").read_text().replace(f"https://me:pa55word@host/?token={SECRETS['HF_TOKEN']}", "")
    assert not [secret for secret in (*SECRETS.values(), *IN_TEXT) if secret in junit]


def test_evidence_of_others_is_shown_as_harmlessly(pytester, capsys):
    """It may come from anywhere."""
    write_run(pytester.path / "theirs", claim("t/one", OLD, statement="says" + BAD))
    assert cli.main(["summary", str(pytester.path / "theirs")]) == 0
    page = pytester.path / "page.html"
    assert cli.main(["report", str(pytester.path / "theirs"), "--output", str(page)]) == 0
    out = capsys.readouterr().out + page.read_text()
    assert not HOSTILE.search(out)
    assert out.count(r"says\x1b[2J") >= 2
