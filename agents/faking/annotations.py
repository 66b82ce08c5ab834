"""How a fake container behaves: the `kubeherd.io/...` annotations of its pod, and its image's name.

A pod-wide annotation (`kubeherd.io/crash-after-seconds`) holds for every regular container and
sidecar, one with a container's name (`kubeherd.io/web.crash-after-seconds`) for that container
only and before the pod-wide one. Regular init containers heed only annotations with their name,
except for those on pulling. docs/fake-pods.md lists them. Invariant: a value that cannot be parsed
counts as absent, because a pod must never be stuck on a typing error in an experiment.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from kubeherd.agents.faking import images
from kubeherd.cluster.api.helpers.scripts import PREFIX, parse_seconds, scripted


class Behaviour(msgspec.Struct, frozen=True, gc=False):
    """What one fake container does; times in nominal seconds, None: never."""

    pull_delay_s: float = 0.0
    pull_error: str = ""
    start_delay_s: float = 0.0
    ready_delay_s: float = 0.0
    crash_after_s: float | None = None
    crash_times: int | None = None
    exit_code: int = 1
    run_for_s: float | None = None
    run_exit_code: int = 0
    oom_after_s: float | None = None
    stop_delay_s: float = 0.0
    stop_exit_code: int = 0
    prestop_s: float = 0.0
    fail_readiness: bool = False
    fail_liveness_after_s: float | None = None
    fail_startup: bool = False
    log: tuple[str, ...] | None = None
    log_interval_s: float = 0.0
    unkillable: bool = False
    """Only a fault makes it so: no signal ends it, and its pod stays until the fault is over."""

    @property
    def ends(self) -> bool:
        """Whether an annotation says when the process ends by itself."""
        return not (self.run_for_s is self.crash_after_s is self.oom_after_s is None)


DEFAULT: Final = Behaviour()
"""Everything at once, gracefully and successfully, and the process runs for ever."""

RUNS_TO_COMPLETION: Final = Behaviour(run_for_s=0.0)
"""What a regular init container does without annotations."""

JOB_RUN_S: Final = 1.0
TERMINATED: Final = 143
"""The exit code of a process that SIGTERM ended: what is stopped has not succeeded."""

JOB: Final = Behaviour(stop_exit_code=TERMINATED, run_for_s=JOB_RUN_S)
"""What the containers of a Job do without annotations: work comes to an end."""

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""The annotation with the index of a pod of an Indexed Job."""

_PULL_KEYS: Final = ("pull-delay-seconds", "pull-error")


def sandbox_error(annotations: Mapping[str, str]) -> str:
    """Why the sandbox of a pod cannot be created (`kubeherd.io/sandbox-error`), or ""."""
    return annotations.get(PREFIX + "sandbox-error", "")


def pull_error(image: str, behaviour: Behaviour) -> str:
    """The runtime's error for pulling this image, or "" if it can be pulled."""
    if behaviour.pull_error:
        return behaviour.pull_error
    if not images.exists(image):
        return (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
            "pull access denied, repository does not exist or may require authorization"
        )
    return ""


def behaviour(
    annotations: Mapping[str, str],
    container: str,
    *,
    is_init: bool = False,
    without_words: Behaviour = DEFAULT,
) -> Behaviour:
    """The behaviour of one container; `is_init`: a regular init container, `without_words`: what
    it does where no annotation says how it ends (`DEFAULT`, `RUNS_TO_COMPLETION` or `JOB`)."""
    if not any(key.startswith(PREFIX) for key in annotations):
        return without_words
    return _parse(annotations, container, is_init, without_words)


def _parse(
    annotations: Mapping[str, str], container: str, is_init: bool, without_words: Behaviour
) -> Behaviour:
    def text(name: str) -> str | None:
        if is_init and name not in _PULL_KEYS:
            return annotations.get(f"{PREFIX}{container}.{name}")
        return scripted(annotations, container, name)

    def seconds(name: str) -> float | None:
        return parse_seconds(text(name))

    run_for_s = seconds("run-for-seconds")
    crash_after_s = seconds("crash-after-seconds")
    oom_after_s = seconds("oom-after-seconds")
    if run_for_s is None and crash_after_s is None and oom_after_s is None:
        run_for_s = without_words.run_for_s
    exit_code = _exit_code(text("exit-code"), annotations.get(COMPLETION_INDEX))
    stop_code = _exit_code(text("stop-exit-code"))
    return Behaviour(
        pull_delay_s=seconds("pull-delay-seconds") or 0.0,
        pull_error=text("pull-error") or "",
        start_delay_s=seconds("start-delay-seconds") or 0.0,
        ready_delay_s=seconds("ready-delay-seconds") or 0.0,
        crash_after_s=crash_after_s,
        crash_times=_integer(text("crash-times")),
        exit_code=1 if exit_code is None else exit_code,
        run_for_s=run_for_s,
        run_exit_code=exit_code or 0 if crash_after_s is None else 0,
        oom_after_s=oom_after_s,
        stop_delay_s=seconds("stop-delay-seconds") or 0.0,
        stop_exit_code=without_words.stop_exit_code if stop_code is None else stop_code,
        prestop_s=seconds("prestop-seconds") or 0.0,
        fail_readiness=is_true(text("fail-readiness")),
        fail_liveness_after_s=seconds("fail-liveness-after-seconds"),
        fail_startup=is_true(text("fail-startup")),
        log=_lines(text("log")),
        log_interval_s=seconds("log-interval-seconds") or 0.0,
    )


def is_true(text: str | None) -> bool:
    """Whether an annotation's value says yes."""
    return text is not None and text.strip().lower() in ("true", "1", "yes")


def _lines(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(text.splitlines())


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _exit_code(text: str | None, index: str | None = None) -> int | None:
    """A code from 0 to 255, or that of one index in a list as `0-3:1,5:2` (others: 0)."""
    if text is None or ":" not in text:
        return _code(text)
    found = 0
    own = _integer(index)
    for item in text.split(","):
        numbers, _, code_text = item.partition(":")
        first, dash, last = numbers.partition("-")
        begin, end, code = _integer(first), _integer(last if dash else first), _code(code_text)
        if begin is None or end is None or code is None:
            return None
        if own is not None and begin <= own <= end:
            found = code
    return found


def _code(text: str | None) -> int | None:
    code = _integer(text)
    return code if code is not None and 0 <= code <= 255 else None
