"""docs/reference/history.md names every record and every field."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from kubeherd.history import FORMAT_VERSION, Record

PAGE = (Path(__file__).parents[3] / "docs/reference/history.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("record", typing.get_args(Record), ids=lambda record: record.__name__)
def test_a_record_has_a_row_with_its_fields(record: type[msgspec.Struct]):
    row = ROWS[str(record.__struct_config__.tag)]
    fields = {field.name for field in msgspec.structs.fields(record)} - {"at"}
    named = set(re.findall(r"`(\w+)`", row.rpartition("|")[2]))
    assert fields <= named, f"missing: {fields - named}"


def test_the_page_has_the_version_of_the_format():
    assert f"**{FORMAT_VERSION}**" in PAGE
