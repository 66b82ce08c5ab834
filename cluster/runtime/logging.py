"""Logging: one JSON object per line on standard error, events named by what happened.

`structlog.get_logger()` may be called at import; `configure` decides afterwards where it goes.
Invariants: a value whose key names a secret never reaches the log; below the configured level a
call costs one no-op method call; a broken log descriptor never breaks the process.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

LEVEL_VARIABLE = "KUBEHERD_LOG_LEVEL"
REDACTED = "[redacted]"

_SECRET_WORDS = ("token", "password", "secret", "authorization", "private_key", "client_key")
_SECRET_KINDS = ("Secret", "SecretList")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def configure(name: str, *, level: str = "") -> None:
    """Send the logs of this process, called `name` in them, to standard error.

    `level` is debug, info, warning, error or critical; empty: the environment's KUBEHERD_LOG_LEVEL,
    else info. ValueError for any other level.
    """
    wanted = (level or os.environ.get(LEVEL_VARIABLE, "") or "info").lower()
    if wanted not in _LEVELS:
        raise ValueError(f"log level must be one of {', '.join(_LEVELS)}, got {wanted!r}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _Stamp(name),
            redact,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[wanted]),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )


class _Stamp:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        stamped = {
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": event.pop("level", ""),
            "process": self._name,
            "event": event.pop("event", ""),
        }
        stamped.update(event)
        return stamped


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace the values of secret keys, and the data of Secret objects, at any depth."""
    for key, value in event.items():
        if _is_secret_key(key):
            event[key] = REDACTED
        elif isinstance(value, dict | list):
            event[key] = _redacted(value)
    return event


def _is_secret_key(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def _redacted(value: Any) -> Any:
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") in _SECRET_KINDS:
        return {key: value[key] for key in ("kind", "metadata") if key in value}
    return {
        key: REDACTED if _is_secret_key(str(key)) else _redacted(item)
        for key, item in value.items()
    }


def render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    """One JSON line; what JSON cannot hold is written as its `str`."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(dict(event), default=str, option=options)


class _StderrLogger:
    """Writes whole lines with one system call, so that lines of processes never mix."""

    def __init__(self, *_args: object) -> None:
        pass

    def msg(self, line: bytes) -> None:
        try:
            os.write(sys.stderr.fileno(), line)
        except (OSError, ValueError):
            return  # a full disk or a closed descriptor must not stop the cluster

    debug = info = warning = warn = error = critical = exception = fatal = log = msg
