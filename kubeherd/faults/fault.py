"""A fault: what, with whom, since when; as a value, in JSON, and in words."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from kubeherd.faults import effects
from kubeherd.faults.effects import Effect, FaultKind
from kubeherd.faults.targets import COMMAND, Clients, Component, Nodes, Target

T = TypeVar("T")


class FaultError(ValueError):
    """A fault that makes no sense: one line for a person."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault. `at` is when it began (seconds since the epoch, by the clock of whoever began it),
    `until` when it ends by itself (0: when it is undone)."""

    id: Annotated[
        str, Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
    ]
    target: Target
    effect: Effect
    at: float = 0.0
    until: float = 0.0

    @property
    def kind(self) -> FaultKind:
        """The kind of fault that this is."""
        return self.effect.kind

    @property
    def undoable(self) -> bool:
        """Whether it lasts until it is undone; else it is over when it has been carried out."""
        return not isinstance(self.effect, effects.ONE_SHOT)

    def check(self) -> None:
        """FaultError if this effect cannot hurt this target."""
        allowed = _TARGETS[self.kind]
        if not isinstance(self.target, allowed):
            wanted = " or ".join(_WORDS[one] for one in allowed)
            raise FaultError(f"{self.kind} hurts {wanted}, not {_WORDS[type(self.target)]}")
        components = _COMPONENTS.get(self.kind)
        if (
            components
            and isinstance(self.target, Component)
            and not self.target.name.startswith(components)
        ):
            raise FaultError(f"{self.kind} hurts the {' or '.join(components)}, not {self.target}")

    @property
    def parameters(self) -> str:
        """The parameters that are not the default, in words; "" if all are."""
        given = msgspec.to_builtins(self.effect)
        return " ".join(
            f"{field.name.replace('_', '-')}={_text(given[field.name])}"
            for field in msgspec.structs.fields(type(self.effect))
            if getattr(self.effect, field.name) != field.default
        )

    def __str__(self) -> str:
        return " ".join(filter(None, [self.kind, str(self.target), self.parameters]))


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(one) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORDS: dict[type, str] = {Nodes: "nodes", Component: "a component", Clients: "clients"}

_APISERVER = "apiserver"
_MANAGER = "controller-manager"


def _each(group: Sequence[type[Effect]], value: tuple[T, ...]) -> dict[FaultKind, tuple[T, ...]]:
    """The same for all kinds of a group."""
    return {FaultKind(str(one.__struct_config__.tag)): value for one in group}


_TARGETS: dict[FaultKind, tuple[type, ...]] = {
    **_each(effects.PROCESS, (Nodes, Component)),
    FaultKind.REBOOT: (Nodes,),
    FaultKind.TWO_LEADERS: (Component,),
    **_each((*effects.CONNECTION, *effects.REQUEST_EFFECTS), (Nodes, Component, Clients)),
    **_each(effects.STORE, (Component,)),
    **_each(effects.NODE, (Nodes,)),
}
_COMPONENTS: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.TWO_LEADERS: (_MANAGER,),
    **_each((*effects.CONNECTION, *effects.REQUEST_EFFECTS), (_MANAGER, COMMAND)),
    **_each(effects.STORE, (_APISERVER,)),
}
"""Where not every component can be hurt in this way."""


def targets_of(kind: FaultKind) -> tuple[type, ...]:
    """What a fault of this kind can hurt: some of `Nodes`, `Component` and `Clients`."""
    return _TARGETS[kind]


def components_of(kind: FaultKind) -> tuple[str, ...]:
    """What the names of components begin with that a fault of this kind can hurt; none: any."""
    return _COMPONENTS.get(kind, ())


def decode(data: bytes) -> Fault:
    """A fault from JSON; FaultError says what is wrong with it."""
    try:
        fault = msgspec.json.decode(data, type=Fault)
    except msgspec.DecodeError as error:
        raise FaultError(str(error)) from None
    fault.check()
    return fault


def encode(fault: Fault) -> bytes:
    """A fault as one line of JSON."""
    return msgspec.json.encode(fault)


def decode_all(data: bytes) -> list[Fault]:
    """Faults from a JSON array; FaultError says what is wrong with it."""
    try:
        faults = msgspec.json.decode(data, type=list[Fault])
    except msgspec.DecodeError as error:
        raise FaultError(str(error)) from None
    for fault in faults:
        fault.check()
    return faults


def encode_all(faults: Sequence[Fault]) -> bytes:
    """Faults as a JSON array on one line."""
    return msgspec.json.encode(list(faults))
