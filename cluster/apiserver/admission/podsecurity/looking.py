"""Reading a pod: its containers, their security contexts, and how findings are worded."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject


class Finding(msgspec.Struct, frozen=True):
    """Why a pod is not allowed: in short, and which parts of it."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def containers(spec: JsonObject) -> Iterator[JsonObject]:
    """Init containers, containers, ephemeral ones."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()


def context(holder: JsonObject) -> JsonObject:
    """The securityContext of a pod's spec or of a container."""
    return holder.get("securityContext") or {}


def names_of(spec: JsonObject, is_bad: Callable[[JsonObject], bool]) -> list[str]:
    """The containers of which something holds."""
    return [container.get("name", "") for container in containers(spec) if is_bad(container)]


def quoted(items: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int) -> str:
    """The word in the number that fits; a verb loses its s."""
    if word == "uses":
        return word if count == 1 else "use"
    return word if count == 1 else f"{word}s"


def shown(names: list[str], word: str = "container") -> str:
    """``containers "a", "b"``."""
    return f"{plural(word, len(names))} {quoted(names)}"


def setters(pod_is_bad: bool, names: list[str]) -> str:
    """``pod and container "a"``: who sets something explicitly; "" if nobody does."""
    parts = ["pod"] if pod_is_bad else []
    return " and ".join(parts + ([shown(names)] if names else []))


def in_user_namespace(spec: JsonObject) -> bool:
    """Whether root in the pod is not root on the node."""
    return spec.get("hostUsers") is False


def is_windows(spec: JsonObject) -> bool:
    """Whether rules about Linux mean nothing for the pod."""
    return bool((spec.get("os") or {}).get("name") == "windows")
