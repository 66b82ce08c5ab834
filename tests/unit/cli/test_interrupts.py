"""What a signal does to a command while it loads, while it works, and in code it must not tear."""

import asyncio
import io
import signal
import subprocess
import sys

import pytest
from patience import PATIENCE_S

from kubeherd.cluster.cli.eventloop import run
from kubeherd.cluster.cli.interrupts import Interrupts, deferred

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_is_a_keyboard_interrupt_and_the_old_handler_comes_back(number: signal.Signals):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert interrupts.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_deferred_signal_counts_at_the_end(number: signal.Signals):
    steps: list[str] = []

    def work() -> None:
        with deferred(lambda: steps.append("noted")):
            signal.raise_signal(number)
            steps.append("went on")

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert interrupts.exit_code == 128 + number
    assert steps == ["noted", "went on"]


class SignalledWhenClosed(io.RawIOBase):
    """A file whose closing is interrupted."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            signal.raise_signal(signal.SIGINT)


def test_a_signal_whose_exception_python_drops_is_not_forgotten():
    with Interrupts() as interrupts:
        interrupts.check()
        SignalledWhenClosed()  # collected at once; what its closing raises then goes nowhere
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


class SignalledInItsFinalizer:
    """An object whose finalizer is interrupted; a generator with a `with` is one, too."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_a_finalizer_is_not_forgotten_and_python_says_nothing_of_it(
    capfd: pytest.CaptureFixture[str],
):
    with Interrupts() as interrupts:
        SignalledInItsFinalizer()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert capfd.readouterr() == ("", "")


class WrongInItsFinalizer:
    """An object whose finalizer has a bug."""

    def __del__(self) -> None:
        raise ZeroDivisionError


def test_other_errors_of_finalizers_are_told_and_the_hook_comes_back(
    monkeypatch: pytest.MonkeyPatch,
):
    told: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    before = sys.unraisablehook
    with Interrupts():
        WrongInItsFinalizer()
    assert told == [ZeroDivisionError]
    assert sys.unraisablehook is before


def test_an_event_loop_is_ended_in_order_by_a_signal():
    ended: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append("in order")

    with Interrupts(), pytest.raises(KeyboardInterrupt):
        run(work)
    assert ended == ["in order"]


def test_ctrl_c_while_the_command_loads_is_quiet():
    """Between its first and its last import: `rich` stands for all that is slow."""
    code = """
import builtins, os, signal
real = builtins.__import__
def importing(name, *rest):
    if name.startswith("rich"):
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest)
builtins.__import__ = importing
import kubeherd.cluster.cli.main
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, "")
