"""What the terminal says about claims."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from mechcheck.base.text import shorten
from mechcheck.evidence.caveats.known import caveat_lines, failing_caveats
from mechcheck.evidence.counterexample_text import counterexample_lines
from mechcheck.evidence.deciding import deciding_check, deciding_name, estimate_text
from mechcheck.evidence.drawn import drawn_lines
from mechcheck.evidence.drift_text import SYMBOLS as CHANGE_SYMBOLS
from mechcheck.evidence.drift_text import change_lines, surroundings, tally
from mechcheck.evidence.dtypes import decided_differently
from mechcheck.evidence.grids.in_words import grid_lines
from mechcheck.evidence.multiplicity import multiplicity_lines, undone_text
from mechcheck.plugin.properties import PROPERTY
from mechcheck.verdicts.words import verdict_word

SYMBOLS = {
    "supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "∅", "not_applicable": "∘", "skipped": "-", "errored": "!",
    "method_dependent": "≠",
}  # fmt: skip
COLOURS = {
    "supported": "green", "refuted": "red", "inconclusive": "yellow", "vacuous": "red", "not_applicable": "yellow", "skipped": "cyan",
    "errored": "red", "method_dependent": "red",
}  # fmt: skip
CHANGE_COLOURS = {"drifted": "red", "flipped": "red", "missing": "red", "incomparable": "yellow", "unsure": "yellow"}
_REASON = 300  # the report has the whole; a tokenizer may lack a hundred words
_WIDTH = 62


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, Any] | None:
    """Verdicts in place of passed, failed and xfailed."""
    if report.when != "call":
        return None
    verdict = dict(report.user_properties).get(f"{PROPERTY}.verdict")
    if verdict == "inconclusive" or (verdict == "not_applicable" and not report.passed):
        word = verdict_word(verdict)
        return ("failed" if report.failed else verdict), SYMBOLS[verdict], (word.upper(), {"red" if report.failed else "yellow": True})
    if verdict in ("refuted", "vacuous", "method_dependent") and report.failed:
        return "failed", str(verdict)[0].upper(), (verdict_word(str(verdict)).upper(), {"red": True})
    if verdict in ("refuted", "vacuous", "errored", "method_dependent") and hasattr(report, "wasxfail"):
        return str(verdict), str(verdict)[0], (verdict_word(str(verdict)).upper(), {"yellow": True})
    if verdict in ("supported", "refuted", "not_applicable", "method_dependent") and report.passed:
        return "passed", ".", (f"{verdict_word(str(verdict)).upper()} AS CLAIMED", {"green": True})
    return None


def write_summary(reporter: Any, evidence: Mapping[str, Any], page: str, file: str, failing: Sequence[str] = ()) -> None:
    """One line per claim, unmet ones first; what changed since the baseline; where the evidence lies."""
    claims = evidence["claims"]
    reporter.ensure_newline()  # else the first write_line below would break its line
    reporter.section("claims", sep="=")
    for claim in sorted(claims, key=lambda c: (c["met"] is not False, c["id"])):
        if claim["verdict"] == "skipped":
            continue
        markup = {COLOURS[claim["verdict"]] if claim["met"] is not True else "green": True}
        reporter.write(f"{SYMBOLS[claim['verdict']]} {verdict_word(claim['verdict']) + ' ':<13}", **markup)
        reporter.write_line(_line(claim))
        for line in grid_lines(claim):
            reporter.write_line(f"    {line}")
        if claim["verdict"] == "inconclusive" and (settles := (deciding_check(claim) or {}).get("settles")):
            reporter.write_line(f"    to settle it: {settles['text']}")
        if (undone := undone_text(claim)) is not None:
            reporter.write_line(f"    {undone}")
        for text in failing_caveats(claim):
            reporter.write_line(f"    failed by --mech-strict: {text}", red=True)
        for facts in claim.get("dictionaries", ()):
            if facts["caveat"]:
                reporter.write_line(f"    {facts['name']}: {facts['caveat']}", yellow=True)
        for line in (line for found in claim["counterexamples"] for line in counterexample_lines(found)):
            reporter.write_line(f"    {line}")
    for reason, count in Counter(claim["reason"] for claim in claims if claim["verdict"] == "skipped").most_common():
        reporter.write_line(f"{SYMBOLS['skipped']} {count} skipped: {shorten(reason, _REASON)}", cyan=True)
    counts = Counter(claim["verdict"] for claim in claims)
    as_claimed = sum(claim["met"] is True for claim in claims)
    said = ", ".join(f"{counts[v]} {verdict_word(v)}" for v in SYMBOLS if counts[v])
    reporter.write_line(f"{len(claims)} claim{'s' * (len(claims) != 1)}: {said}; {as_claimed} as claimed")
    for line in (*drawn_lines(claims), *multiplicity_lines(evidence["run"]["multiplicity"])):
        reporter.write_line(line)
    for name, verdicts in decided_differently(claims).items():
        reporter.write("decided differently by dtype  ", yellow=True)
        reporter.write_line(f"{name}: {', '.join(f'{dtype} {verdict_word(verdict)}' for dtype, verdict in verdicts.items())}")
    for line in _unmet_criteria(claims):
        reporter.write("criteria not met  ", yellow=True)
        reporter.write_line(line)
    for line in caveat_lines(claims):
        reporter.write("caveat  ", yellow=True)
        reporter.write_line(line)
    if not evidence["run"]["complete"]:
        n = len(evidence["run"]["undecided"])
        left = f" ({n} claim{'s' * (n != 1)} that it asked for {'was' if n == 1 else 'were'} not decided)" if n else ""
        reporter.write_line(f"this run was interrupted: its evidence is incomplete{left}", yellow=True)
    for problem in evidence["run"]["problems"]:
        reporter.write_line(problem, yellow=True)
    if evidence["run"]["baseline"]:
        _write_drift(reporter, evidence, failing)
    if evidence["run"]["ledger_problem"]:
        reporter.write_line(evidence["run"]["ledger_problem"], yellow=True)
    reporter.write_line(f"evidence: {file}   report: {page}")


def _write_drift(reporter: Any, evidence: Mapping[str, Any], failing: Sequence[str]) -> None:
    claims, baseline = evidence["claims"], evidence["run"]["baseline"]
    reporter.section("since the baseline", sep="-")
    for status, line in change_lines(claims, baseline):
        reporter.write(f"{CHANGE_SYMBOLS[status]} {status:<13}", **{CHANGE_COLOURS[status]: True})
        reporter.write_line(line)
    for line in tally(baseline):
        reporter.write_line(line)
    if around := surroundings(claims, baseline):
        reporter.write_line(f"changed: {around}")
    if failing:
        reporter.write_line(f"failed by --mech-fail-on: {', '.join(failing)}", red=True)


def _line(claim: Mapping[str, Any]) -> str:
    statement = shorten(claim["statement"], _WIDTH)
    deciding = deciding_check(claim)
    if deciding is None or claim["verdict"] == "errored":  # what had been measured before the error decides nothing
        return f"{statement}  [{claim['id'].rpartition('[')[2].rstrip(']')}]  {claim['reason'].splitlines()[0] if claim['reason'] else ''}"
    numbers = estimate_text(deciding, "+.3f")
    if deciding["kind"] != "for_all":  # a search says itself how much it tried
        numbers += f" n={deciding['estimate']['n']}"
    which_check = f"  [{deciding_name(claim)}]" if len(claim["expectations"]) > 1 else ""
    decoys = claim["decoys"]
    rejected = ""
    if decoys and decoys["kind"] != "positive control":
        neither = decoys["n"] - decoys["rejected"] - decoys["supported"]
        undecided = f", {neither} decide nothing" if neither else ""
        rejected = f"  {decoys['rejected']}/{decoys['n']} decoys rejected{undecided}{_weak_checks(claim)}"
    expected = "  (as claimed)" if claim["met"] and claim["verdict"] != "supported" else ""
    which = claim["id"].rpartition("[")[2].rstrip("]") if "[" in claim["id"] else ""
    drawn = f"  {claim['sampling']['text']}" if claim["sampling"] else ""
    return f"{statement:<{_WIDTH}} {which}  {numbers}{which_check}{rejected}{expected}{drawn}"


def _weak_checks(claim: Mapping[str, Any]) -> str:
    """How many of a claim's checks its decoys satisfy by themselves, or do not tell from it."""
    told = [{one["decision"] for one in e["specificity"]} for e in claim["expectations"]]
    vacuous, open_ = (sum(decision in one for one in told) for decision in ("vacuous", "cannot_tell"))
    found = []
    if vacuous and claim["verdict"] != "vacuous":
        found.append(f"{vacuous} check{'s' * (vacuous != 1)} satisfied by them too")
    if open_:
        found.append(f"{open_} not told from them")
    return f" ({'; '.join(found)})" if found else ""


def _unmet_criteria(claims: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each circuit some of whose roles are filled by the nearest candidates, as nothing satisfied what was asked of them."""
    found: Counter[tuple[str, str, str]] = Counter()
    for claim in claims:
        if claim["circuit"] and (unmet := claim["circuit"]["criteria"]["unmet"]):
            found[claim["model"]["name"] if claim["model"] else "-", claim["circuit"]["source"], ", ".join(unmet)] += 1
    for (model, source, roles), n in found.items():
        yield f"{model}, {source}: the nearest candidates stand for {roles}, in {n} claim{'s' * (n != 1)}"
