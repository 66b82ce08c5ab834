"""An experiment as a file: cluster, workload, faults, and what must hold during and after. Pure.

YAML, one experiment a file; docs/reference/experiments.md has every key. Times are nominal seconds:
on real processes `cluster.speed` divides them, in the simulation they cost nothing. A range
``[2, 8]`` is drawn from evenly, a number is itself. Invariant: what `load` returns can be run; all
that is wrong with a file is said at once, by the path of the key.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import NODEFAULT, Meta
from msgspec.structs import FieldInfo

from kubeherd.faults import Clients, Component, Effect, Fault, FaultError, Nodes, Target

MAX_S: Final = 1e6
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=MAX_S)]
Range: TypeAlias = float | tuple[float, float]
"""Not of `Seconds`: msgspec 0.19 mixes up the bounds of a number with the length of a tuple.
`_problems` checks them."""
Object: TypeAlias = dict[str, Any]

DEFAULT_NAMESPACE = "default"


class ExperimentError(ValueError):
    """A file that is no experiment: a line for a person, with the path of what is wrong."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ClusterSpec(_Part, frozen=True, kw_only=True):
    """The cluster that the experiment gets for itself."""

    nodes: Annotated[int, Meta(ge=0, le=1000)] = 5
    zones: Annotated[int, Meta(ge=0, le=26)] = 0
    """Nodes are dealt to zones a, b, ... in turn; 0: none has a zone."""
    controllers: Annotated[int, Meta(ge=1, le=5)] = 1
    """Controller managers, one of which leads."""
    nodes_per_agent: Annotated[int, Meta(ge=1, le=1000)] = 1
    speed: Annotated[float, Meta(gt=0, le=1000)] = 20.0
    """On real processes only."""
    requests: bool = False
    """Requests and their answers are in the history, too, for promises about answers."""
    history_events: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """How many events the API server remembers for watches; 0: its default. Few of them make
    watches expire (410). In the simulation only."""


class Those(_Part, frozen=True, kw_only=True):
    """Which object a step is about."""

    kind: str
    name: str
    namespace: str = DEFAULT_NAMESPACE


class Patch(_Part, frozen=True, kw_only=True):
    """A strategic merge patch of one object."""

    kind: str
    name: str
    patch: Object
    namespace: str = DEFAULT_NAMESPACE


class Do(_Part, frozen=True, kw_only=True):
    """One thing that users do meanwhile: exactly one of the keys but the times."""

    at_s: Range | None = None
    every_s: Range | None = None
    """Again and again, from the start to the end of the experiment."""
    apply: Sequence[Object] = ()
    patch: Patch | None = None
    roll: Those | None = None
    """Give the first container of its pod template a new image."""
    delete: Those | None = None
    add_nodes: Annotated[int, Meta(ge=0, le=1000)] = 0
    remove_node: bool = False
    """One node that is not hurt, for good."""


class Chosen(_Part, frozen=True, kw_only=True):
    """Nodes: all that match, or so many of them, drawn when the fault begins. A node that is hurt
    already is not drawn."""

    names: tuple[str, ...] = ()
    zone: str = ""
    """The label topology.kubernetes.io/zone; ``*`` draws one of the zones."""
    selector: Mapping[str, str] = {}
    """Labels with these values."""
    count: Annotated[int, Meta(ge=0, le=1000)] = 0
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
    """Of all that match, rounded up."""


class Whom(_Part, frozen=True, kw_only=True):
    """Who is hurt: exactly one of the keys."""

    nodes: Chosen | None = None
    component: str = ""
    """``apiserver``, ``controller-manager``, ``controller-manager-2``, ``command``; ``leader`` is
    the controller manager that leads when the fault begins."""
    clients: Clients | None = None


class Hurt(_Part, frozen=True, kw_only=True):
    """A fault, its victim, and for how long; without `for_s` until healing begins."""

    fault: Effect
    whom: Whom
    for_s: Range | None = None
    after_writes: Range | None = None
    """As in `Scheduled`."""
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Among the choices of `RandomFaults`."""


class Scheduled(_Part, frozen=True, kw_only=True):
    """A fault at a moment."""

    at_s: Range
    fault: Effect
    whom: Whom
    for_s: Range | None = None
    after_writes: Range | None = None
    """Begin so many writes after that moment, between this write and whatever follows from it. In
    the simulation exactly there; on real processes as soon as it is known of. Events and leases do
    not count. If so many do not come, it does not begin."""
    id: Annotated[str, Meta(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?\Z", max_length=63)] = ""
    """Of the fault; without one it is numbered."""


class RandomFaults(_Part, frozen=True, kw_only=True):
    """Faults drawn by weight, one after the other, for the duration of the experiment."""

    every_s: Range
    choices: Annotated[tuple[Hurt, ...], Meta(min_length=1)]


class Command(_Part, frozen=True, kw_only=True):
    """A user's own program, started with a kubeconfig of its own identity (KUBECONFIG)."""

    run: str
    restart: bool = False


class Experiment(_Part, frozen=True, kw_only=True):
    """A whole experiment."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
    title: str
    teaches: str
    """What one learns from it, for `kubeherd chaos explain`."""
    cluster: ClusterSpec = ClusterSpec()
    workload: Sequence[Object] = ()
    """Manifests, applied before."""
    ready_within_s: Seconds = 600.0
    """The steady state: all nodes and workloads are as wanted so soon, before anything is hurt."""
    steps: tuple[Do, ...] = ()
    faults: tuple[Scheduled, ...] = ()
    random: tuple[RandomFaults, ...] = ()
    duration_s: Annotated[float, Meta(gt=0, le=1e6)]
    heals_within_s: Annotated[float, Meta(gt=0, le=1e6)] = 600.0
    during: tuple[str, ...] = ()
    """Names of promises (`kubeherd check --list`); none: all of safety."""
    after: tuple[str, ...] = ()
    """The same, of liveness."""
    without: tuple[str, ...] = ()
    """Promises that this experiment is not about."""
    command: Command | None = None


def parse(text: str, name: str = "experiment") -> Experiment:
    """An experiment from YAML. ExperimentError."""
    import yaml  # noqa: PLC0415 - 15 ms, for commands that read a file only

    try:
        tree = yaml.safe_load(text)
        experiment = msgspec.convert(tree, Experiment, strict=False)
    except yaml.YAMLError as error:
        raise ExperimentError(f"{name} is not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise ExperimentError(f"{name}: {error}") from None
    problems = list(_problems(experiment))
    if problems:
        raise ExperimentError("\n".join(f"{name}: {problem}" for problem in problems))
    return experiment


def load(path: Path) -> Experiment:
    """An experiment from a file. ExperimentError, also for a file that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path))


def dump(experiment: Experiment) -> str:
    """An experiment as YAML, without what is the default."""
    import yaml  # noqa: PLC0415

    tree = msgspec.to_builtins(experiment)
    return yaml.safe_dump(_changed(experiment, tree), sort_keys=False, allow_unicode=True)


def _changed(part: msgspec.Struct, tree: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for field in msgspec.structs.fields(type(part)):
        value = getattr(part, field.name)
        if value == (field.default if field.default is not NODEFAULT else _made(field)):
            continue
        kept[field.encode_name] = _shortened(value, tree[field.encode_name])
    tag = part.__struct_config__.tag
    return kept if tag is None else {str(part.__struct_config__.tag_field): tag, **kept}


def _made(field: FieldInfo) -> object:
    """The default of a field that is made anew each time, as maps are."""
    return NODEFAULT if field.default_factory is NODEFAULT else field.default_factory()


def _shortened(value: object, tree: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _changed(value, tree)
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return [_shortened(one, built) for one, built in zip(value, tree, strict=True)]
    return tree


def _problems(experiment: Experiment) -> "Sequence[str]":
    found = [f"{path}: not a time, or not a range" for path in _wrong_ranges(experiment)]
    for index, step in enumerate(experiment.steps):
        found += [f"steps[{index}]: {why}" for why in _wrong_step(step)]
    for index, scheduled in enumerate(experiment.faults):
        found += [
            f"faults[{index}]: {why}" for why in _wrong_fault(scheduled.fault, scheduled.whom)
        ]
    for place, several in enumerate(experiment.random):
        for index, choice in enumerate(several.choices):
            why = _wrong_fault(choice.fault, choice.whom)
            found += [f"random[{place}].choices[{index}]: {one}" for one in why]
    return found


def _wrong_ranges(part: object, path: str = "") -> Iterator[str]:
    """The paths of all times that are negative, or go from more to less."""
    if isinstance(part, tuple):
        for index, one in enumerate(part):
            yield from _wrong_ranges(one, f"{path}[{index}]")
    elif isinstance(part, msgspec.Struct):
        for field in msgspec.structs.fields(type(part)):
            value, below = getattr(part, field.name), f"{path}.{field.name}".lstrip(".")
            if field.type in (Range, Range | None):
                low, high = value if isinstance(value, tuple) else (value or 0.0, value or 0.0)
                if not 0 <= low <= high <= MAX_S:
                    yield below
            else:
                yield from _wrong_ranges(value, below)


def _wrong_step(step: Do) -> Sequence[str]:
    actions = (step.apply, step.patch, step.roll, step.delete, step.add_nodes, step.remove_node)
    wrong = []
    if sum(bool(action) for action in actions) != 1:
        wrong.append("give one of apply, patch, roll, delete, add_nodes and remove_node")
    if (step.at_s is None) == (step.every_s is None):
        wrong.append("give at_s or every_s")
    return wrong


def _wrong_fault(effect: Effect, whom: Whom) -> Sequence[str]:
    if (
        sum(
            bool(one is not None and one != "")
            for one in (whom.nodes, whom.component, whom.clients)
        )
        != 1
    ):
        return ["whom: give one of nodes, component and clients"]
    try:
        Fault(id="f", target=_some(whom), effect=effect).check()
    except FaultError as error:
        return [str(error)]
    return []


def _some(whom: Whom) -> Target:
    """A target of the right sort, whoever will be drawn."""
    if whom.nodes is not None:
        return Nodes(("some",))
    if whom.clients is not None:
        return whom.clients
    return Component("controller-manager" if whom.component == "leader" else whom.component)
