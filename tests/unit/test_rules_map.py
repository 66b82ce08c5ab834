"""ARCHITECTURE.md, "Where a rule is": each row names a section and a place that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text().partition("## Where a rule is")[2]
ROWS = re.findall(
    r"^\| (.+?) \| ([a-z-]+) ([\d.]+) \| `([\w/]+\.py)`: `(\w+)` \|$",
    TEXT.partition("\n## ")[0],
    flags=re.MULTILINE,
)


def test_twenty_rules_and_more_are_in_the_table() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("rule", "spec", "section", "path", "name"), ROWS)
def test_the_rule_is_where_the_table_says(
    rule: str, spec: str, section: str, path: str, name: str
) -> None:
    described = (ROOT / "docs" / "spec" / f"{spec}.md").read_text()
    assert re.search(rf"^##+ {re.escape(section)}[. ]", described, flags=re.MULTILINE), rule
    code = (ROOT / path).read_text()
    assert re.search(rf"^(async )?(def|class) {name}\b", code, flags=re.MULTILINE), rule
