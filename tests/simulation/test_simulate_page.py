"""The example of docs/how-to/simulate.md works, and fails when it should."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubeherd.cluster.client.transport import TransportError
from kubeherd.simulation import virtual

PAGE = (Path(__file__).parents[2] / "docs/how-to/simulate.md").read_text()
NAME = "test_every_namespace_is_greeted_however_bad_the_connection"


def example(text: str) -> Callable[[], None]:
    """The test of the page."""
    found: dict[str, Any] = {}
    exec(text, found)
    test: Callable[[], None] = found[NAME]
    return test


def code() -> str:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def test_the_example_works():
    example(code())()


def test_the_example_fails_if_the_operator_gives_up():
    gives_up = code().replace("suppress(ApiError, TransportError)", "suppress(ZeroDivisionError)")
    assert gives_up != code()
    with pytest.raises(ExceptionGroup) as failure:
        example(gives_up)()
    assert failure.group_contains(TransportError)


@virtual
async def test_a_virtual_test_has_fixtures(tmp_path: Path):
    assert tmp_path.is_absolute()
