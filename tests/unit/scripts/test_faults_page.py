"""The page on faults has the tables that its script makes of the vocabulary."""

import update_faults_page as script

from kubeherd.faults import FaultKind


def test_the_tables_are_what_the_script_makes() -> None:
    text = script.PAGE.read_text()
    assert text == script.page(text)
    assert [kind for kind in FaultKind if f"| `{kind}` |" not in text] == []
