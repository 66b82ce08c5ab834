"""What cluster a test gets: from its markers, the command line, the configuration file. Pure.

The nearest marker wins, then the command line, then the configuration file: a marker says what a
test needs, the others what is usual.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RANDOM = "random"


class WrongSetting(ValueError):
    """A setting that makes no cluster; the text says where it stands and what is wrong with it."""


@dataclass(frozen=True)
class Setting:
    """How a setting is read, and what it is when nobody says."""

    read: Callable[[Any], Any]
    default: Any


def _store(text: Any) -> str:
    if text not in ("memory", "sqlite", "etcd"):
        raise ValueError("it is memory, sqlite or etcd")
    return str(text)


def _exec(text: Any) -> str:
    if text not in ("script", "local"):
        raise ValueError("it is script or local")
    return str(text)


def _profile(text: Any) -> str:
    if text not in ("bare", "kind"):
        raise ValueError("it is bare or kind")
    return str(text)


def _record(text: Any) -> str:
    if text not in ("nothing", "writes", "requests"):
        raise ValueError("it is nothing, writes or requests")
    return str(text)


def _seed(text: Any) -> int | None:
    return None if text == RANDOM else int(text)


SETTINGS: Mapping[str, Setting] = {
    "nodes": Setting(int, 3),
    "nodes_per_agent": Setting(int, 1),
    "controllers": Setting(int, 1),
    "apiservers": Setting(int, 1),
    "speed": Setting(float, 10.0),
    "seed": Setting(_seed, None),
    "store": Setting(_store, "memory"),
    "exec": Setting(_exec, "script"),
    "record": Setting(_record, "nothing"),
    "profile": Setting(_profile, "bare"),
}

BY_MARKER_ONLY = frozenset({"nodes_per_agent", "controllers", "apiservers"})
"""Settings that belong to a test, and not to a run."""


def resolve(
    markers: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]],
    options: Mapping[str, str | None],
    ini: Mapping[str, str],
    name: str,
) -> dict[str, Any]:
    """The arguments for `kubeherd.Cluster` of the test called `name`.

    `markers`: arguments of the test's markers, the nearest first. WrongSetting for what cannot be
    read. Without a seed it is made of the name: the same in each run, another one in each test.
    """
    values: dict[str, Any] = {key: setting.default for key, setting in SETTINGS.items()}
    values["seed"] = zlib.crc32(name.encode())
    given = {f"kubeherd_{key}": (key, text) for key, text in ini.items() if text}
    given |= {f"--kubeherd-{key}": (key, text) for key, text in options.items() if text}
    for place, (key, text) in given.items():
        values[key] = _read(place, key, text)
    for positional, named in reversed(list(markers)):
        if positional:
            raise WrongSetting("the marker kubeherd takes named arguments only: kubeherd(nodes=2)")
        for key, value in named.items():
            values[key] = _read("the marker kubeherd", key, value)
    return values


def _read(place: str, key: str, value: Any) -> Any:
    setting = SETTINGS.get(key)
    if setting is None:
        raise WrongSetting(f"{place} does not know {key!r}; there are {', '.join(SETTINGS)}")
    try:
        return setting.read(value)
    except (TypeError, ValueError) as error:
        raise WrongSetting(f"{place}: {key} cannot be {value!r}: {error}") from None
