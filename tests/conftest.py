"""What holds for every test."""

import gc
from collections.abc import Generator
from typing import Any

import pytest
import structlog
from hypothesis import settings

# How fast a machine is belongs in benchmarks: a busy one must not fail a property.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


_logging: dict[str, Any] = {}


def pytest_configure() -> None:
    """Log without colours, and tracebacks as Python prints them.

    Where nobody configured it, structlog draws them with rich and all local variables: half a
    second for every surprise that a test causes.
    """
    renderer = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    *processors, _ = structlog.get_config()["processors"]
    structlog.configure([*processors, renderer])
    _logging.update(structlog.get_config(), processors=tuple(structlog.get_config()["processors"]))


@pytest.fixture(autouse=True)
def _logging_as_configured() -> None:
    """What a command that ran within another test did to the logging of the process is over."""
    structlog.configure(**{**_logging, "processors": list(_logging["processors"])})


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is collected, thousands of tests and the modules of all clients, out of the garbage
    collector's sight.

    It lives until the end, and each full collection would walk through all of it: that was almost
    half of the processor time of simulations and of tests that call `gc.collect`.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
