"""What a run says of itself: in the terminal, as JSON, as JUnit XML. Pure."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

import msgspec

from kubeherd.chaos.outcome import Outcome
from kubeherd.checks.checker import Checked

STORY_LINES = 12
WIDTH = 100
BUSY = 0.75
"""Where something waits for a processor so often, what fails may be late and not wrong."""


def text(outcome: Outcome, again: str) -> list[str]:
    """The verdict in lines: what was done, checked and found; `again` is the command that shows
    it again."""
    checked, missing = outcome.verdict.checked, outcome.missing
    silent = [one.name for one in checked if not one.looked_at and one.name not in missing]
    lines = [
        f"{outcome.experiment}, seed {outcome.seed}: {_how_much(outcome)}",
        *_checks([one for one in checked if one.name not in silent]),
        *_not_checked(silent),
    ]
    if outcome.settled_after_s is not None:
        lines.append(f"converged {outcome.settled_after_s:.1f} s after healing")
    lines += _verdicts(outcome)
    if outcome.passed:
        return lines
    if violations := outcome.verdict.violations:
        lines += [f"    {line}" for line in outcome.story[-STORY_LINES:]]
        if len(violations) > 1:
            lines.append(f"and {_number(len(violations) - 1, 'violation')} more")
    if outcome.busy >= BUSY:
        lines.append(
            f"the machine was busy: for {outcome.busy * 100:.0f} % of the run something waited "
            "for a processor; does it fail on a quiet one?"
        )
    lines.append(f"again: {again}")
    return lines


def verdict(outcome: Outcome) -> str:
    """The verdict in one line."""
    return _verdicts(outcome)[-1]


def _verdicts(outcome: Outcome) -> list[str]:
    if outcome.passed:
        held = sum(1 for one in outcome.verdict.checked if one.looked_at)
        return [f"held: {_number(held, 'promise')}"]
    lines = [f"no verdict: {outcome.problem}"] if outcome.problem else []
    lines += [f"no verdict: nothing spoke of {name}" for name in outcome.missing]
    if violations := outcome.verdict.violations:
        first = violations[0]
        at = f" at revision {first.revision}" if first.revision else ""
        lines.append(f"VIOLATED {first.promise}{at}: {first.text}")
    return lines


def _how_much(outcome: Outcome) -> str:
    kinds = Counter(fault.kind for fault in outcome.faults)
    hurt = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    faults = f": {hurt}" if hurt else ""
    skipped = f"; {outcome.skipped:,} skipped" if outcome.skipped else ""
    records = _number(outcome.records, "record")
    return f"{records}, {_number(kinds.total(), 'fault')}{faults}{skipped}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _checks(checked: Sequence[Checked]) -> list[str]:
    width = max((len(one.name) for one in checked), default=0)
    return [
        f"  {_sign(one)} {one.name:{width}}  {one.looked_at:8,} event{'s' * (one.looked_at != 1)}"
        for one in checked
    ]


def _not_checked(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    told = f"  ? not looked at, as nothing spoke of them: {', '.join(names)}"
    return textwrap.wrap(told, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _sign(one: Checked) -> str:
    if one.violations:
        return "✗"
    return "✓" if one.looked_at else "?"


def to_json(outcomes: Sequence[Outcome]) -> bytes:
    """All of it, for programs."""
    trees = [{**msgspec.to_builtins(one), "passed": one.passed} for one in outcomes]
    return bytes(msgspec.json.format(msgspec.json.encode(trees), indent=2)) + b"\n"


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """A test case per promise and run, as continuous integration reads them."""
    root = ElementTree.Element("testsuites")
    for outcome in outcomes:
        name = f"{outcome.experiment}[seed={outcome.seed}]"
        suite = ElementTree.SubElement(root, "testsuite", name=name)
        cases = [_case(suite, outcome, one) for one in outcome.verdict.checked]
        if outcome.problem:
            case = ElementTree.SubElement(
                suite, "testcase", classname=outcome.experiment, name="steady state"
            )
            ElementTree.SubElement(case, "error", message=outcome.problem)
            cases.append(False)
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(cases.count(False)))
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _case(suite: ElementTree.Element, outcome: Outcome, one: Checked) -> bool:
    case = ElementTree.SubElement(suite, "testcase", classname=outcome.experiment, name=one.name)
    if one.violations:
        first = one.violations[0]
        failure = ElementTree.SubElement(case, "failure", message=first.text)
        failure.text = "\n".join(violation.text for violation in one.violations)
        return False
    if one.name in outcome.missing:
        ElementTree.SubElement(case, "failure", message="nothing in the history spoke of it")
        return False
    if not one.looked_at:
        ElementTree.SubElement(case, "skipped", message="nothing in the history spoke of it")
    return True
