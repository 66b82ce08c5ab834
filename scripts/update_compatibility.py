"""Makes docs/reference/compatibility.md from compatibility.toml beside this script.

Usage: python scripts/update_compatibility.py [--check] [--junit FILE]... [--replay FILE]...

Each feature names the tests that show it, as pytest node ids without parameters. A test must be in
the tree; with the report of a run (`pytest --junitxml=FILE`) it must have run and passed, too.
`--replay` takes what the replay of recorded requests writes (a list of objects with a `name`):
every difference must be explained, and what is explained must differ. `--check` writes nothing and
fails if the page is not what would be written.
"""

import argparse
import ast
import json
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).with_name("compatibility.toml")
PAGE = ROOT / "docs" / "reference" / "compatibility.md"


class State(Enum):
    """How far a feature goes."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    ABSENT = "absent"


class Feature(msgspec.Struct, forbid_unknown_fields=True):
    """One row: `why` says what is missing of a partial or absent one."""

    section: str
    name: str
    state: State
    tests: list[str]
    why: str = ""


class Difference(msgspec.Struct, forbid_unknown_fields=True):
    """Recorded sequences that are answered otherwise, for one reason."""

    why: str
    names: list[str]
    passing: bool = False
    """They agree on the day of the recording only, so they may agree or not."""


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """A recording of what a real server answered, and what is different here."""

    name: str
    text: str
    total: int
    differences: list[Difference] = []


class Compatibility(msgspec.Struct, forbid_unknown_fields=True):
    """The whole of the data."""

    intro: str
    outro: str
    feature: list[Feature]
    replay: list[Replay] = []


def load() -> Compatibility:
    """The data; ValidationError where it is not as the structs above say."""
    return msgspec.convert(tomllib.loads(DATA.read_text()), Compatibility)


def problems(data: Compatibility) -> list[str]:
    """What is wrong with the data by itself, and with the tests that it names."""
    known = {path: functions(ROOT / path) for path in sorted({path for path, _ in _named(data)})}
    found = [
        f"no such test: {path}::{name}" for path, name in _named(data) if name not in known[path]
    ]
    for feature in data.feature:
        if feature.state is not State.COMPLETE and not feature.why:
            found.append(f"{feature.name}: {feature.state.value}, but why?")
        if not feature.tests:
            found.append(f"{feature.name}: no test shows it")
    return found


def _named(data: Compatibility) -> Iterator[tuple[str, str]]:
    for feature in data.feature:
        for test in feature.tests:
            path, _, name = test.partition("::")
            yield path, name


def functions(path: Path) -> set[str]:
    """The tests of a module, read without running it."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text())
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def unproven(data: Compatibility, reports: list[Path]) -> list[str]:
    """The named tests that the reports do not show to have passed."""
    results: dict[tuple[str, str], bool] = {}
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - made by pytest here
            key = (case.get("classname", ""), case.get("name", "").partition("[")[0])
            failed = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
            results[key] = results.get(key, True) and not failed
    found = []
    for path, name in _named(data):
        module = path.removesuffix(".py").replace("/", ".")
        passed = results.get((module, name))
        if not passed:
            found.append(f"{'did not run' if passed is None else 'failed'}: {path}::{name}")
    return found


def unexplained(replay: Replay, differing: set[str]) -> list[str]:
    """What the data says about a replay and its result does not."""
    explained = {name for one in replay.differences for name in one.names}
    may_pass = {name for one in replay.differences if one.passing for name in one.names}
    return [
        *(f"differs without an explanation: {name}" for name in sorted(differing - explained)),
        *(f"agrees by now: {name}" for name in sorted(explained - differing - may_pass)),
    ]


def page(data: Compatibility) -> str:
    """The text of the page."""
    parts = [data.intro.strip()]
    for section in dict.fromkeys(feature.section for feature in data.feature):
        rows = [_row(feature) for feature in data.feature if feature.section == section]
        parts.append(
            f"## {section}\n\n| feature | state | in detail | shown by |\n|---|---|---|---|\n"
            + "\n".join(rows)
        )
    parts += [_replay(replay) for replay in data.replay]
    return "\n\n".join([*parts, data.outro.strip()]) + "\n"


def _row(feature: Feature) -> str:
    modules = dict.fromkeys(
        Path(test.partition("::")[0]).stem.removeprefix("test_") for test in feature.tests
    )
    shown = ", ".join(f"`{module}`" for module in modules)
    return f"| {feature.name} | {feature.state.value} | {feature.why} | {shown} |"


def _replay(replay: Replay) -> str:
    count = sum(len(one.names) for one in replay.differences)
    agree = replay.total - count
    share = 100 * agree / replay.total
    lines = [
        f"## {replay.name}",
        f"{replay.text.strip()} {agree} of {replay.total} agree ({share:.1f} %).",
    ]
    for one in replay.differences:
        names = ", ".join(f"`{name}`" for name in one.names)
        lines.append(f"- {len(one.names)}: {one.why.strip()}\n  {names}")
    return "\n\n".join(lines[:2]) + ("\n\n" + "\n".join(lines[2:]) if lines[2:] else "")


def main() -> None:
    """Exit code 1 with a line per problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--junit", type=Path, action="append", default=[])
    parser.add_argument("--replay", type=Path, action="append", default=[])
    options = parser.parse_args()
    data = load()
    found = problems(data)
    if options.junit:
        found += unproven(data, options.junit)
    for replay, result in zip(data.replay, options.replay, strict=False):
        found += unexplained(replay, {one["name"] for one in json.loads(result.read_text())})
    text = page(data)
    if options.check and PAGE.read_text() != text:
        found.append(f"{PAGE.relative_to(ROOT)} is not what this script makes: run it")
    if found:
        sys.exit("\n".join(found))
    if not options.check:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
