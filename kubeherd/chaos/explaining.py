"""An experiment in words. Pure."""

import textwrap
from collections.abc import Iterator

import msgspec

from kubeherd.chaos.experiment import Do, Experiment, Range, Whom
from kubeherd.chaos.promises import Promises

WIDTH = 100


def explanation(experiment: Experiment, promises: Promises) -> Iterator[str]:
    """What it does and what one learns from it, in lines."""
    cluster = experiment.cluster
    yield f"{experiment.name}: {experiment.title}"
    yield ""
    yield from experiment.teaches.strip().splitlines()
    yield ""
    zones = f" in {cluster.zones} zones" if cluster.zones else ""
    managers = f", {cluster.controllers} controller managers" if cluster.controllers > 1 else ""
    yield f"cluster   {cluster.nodes} nodes{zones}{managers}"
    for tree in experiment.workload:
        yield f"workload  {tree['kind']} {tree['metadata']['name']}"
    for step in experiment.steps:
        yield f"users     {_doing(step)}, {_when(step.at_s, step.every_s)}"
    for one in experiment.faults:
        when = _when(one.at_s, None) + _writes(one.after_writes)
        yield f"fault     {_fault(one.fault, one.whom)}, {when}{_long(one.for_s)}"
    for several in experiment.random:
        yield f"random    {_when(None, several.every_s)} one of"
        for choice in several.choices:
            weight = f" (weight {choice.weight})" if choice.weight > 1 else ""
            long = _writes(choice.after_writes) + _long(choice.for_s)
            yield f"            {_fault(choice.fault, choice.whom)}{long}{weight}"
    yield f"lasts     {experiment.duration_s:g} s, and has {experiment.heals_within_s:g} s to heal"
    yield from _judged(promises, experiment)


def _judged(promises: Promises, experiment: Experiment) -> Iterator[str]:
    without = f" but {', '.join(experiment.without)}" if experiment.without else ""
    everything = f"all{without}: `kubeherd check --list` prints them"
    named = ", ".join([*promises.safety, *promises.liveness])
    chosen = experiment.during or experiment.after
    yield from textwrap.wrap(
        named if chosen else everything,
        WIDTH,
        initial_indent="promises  ",
        subsequent_indent=" " * 10,
        break_on_hyphens=False,
    )


def _range(wanted: Range) -> str:
    return f"{wanted[0]:g} to {wanted[1]:g}" if isinstance(wanted, tuple) else f"{wanted:g}"


def _when(at_s: Range | None, every_s: Range | None) -> str:
    return f"after {_range(at_s)} s" if at_s is not None else f"every {_range(every_s or 0.0)} s"


def _long(for_s: Range | None) -> str:
    return "" if for_s is None else f", for {_range(for_s)} s"


def _writes(after: Range | None) -> str:
    return "" if after is None else f", {_range(after)} writes later"


def _fault(effect: msgspec.Struct, whom: Whom) -> str:
    tree = msgspec.to_builtins(effect)
    kind = tree.pop("kind")
    defaults = {field.name: field.default for field in msgspec.structs.fields(type(effect))}
    given = [
        f"{name.removesuffix('_s').replace('_', '-')}={_value(value)}"
        for name, value in tree.items()
        if getattr(effect, name) != defaults[name]
    ]
    return " ".join([kind, *given, "of", _whom(whom)])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(value) if isinstance(value, (list, tuple)) else str(value)


def _whom(whom: Whom) -> str:
    if whom.nodes is None:
        return whom.component or str(whom.clients)
    nodes = whom.nodes
    if nodes.names:
        return ", ".join(nodes.names)
    count = f"{nodes.percent} % of the" if nodes.percent else str(nodes.count or "all")
    zone = (
        "" if not nodes.zone else " of one zone" if nodes.zone == "*" else f" of zone {nodes.zone}"
    )
    labels = "".join(f" with {key}={value}" for key, value in nodes.selector.items())
    return f"one node{zone}{labels}" if count == "1" else f"{count} nodes{zone}{labels}"


def _doing(step: Do) -> str:
    if step.roll is not None:
        return f"roll {step.roll.kind} {step.roll.name} to a new image"
    if step.patch is not None:
        return f"patch {step.patch.kind} {step.patch.name}"
    if step.delete is not None:
        return f"delete {step.delete.kind} {step.delete.name}"
    if step.apply:
        return "apply " + ", ".join(
            f"{one['kind']} {one['metadata']['name']}" for one in step.apply
        )
    return f"add {step.add_nodes} nodes" if step.add_nodes else "remove a node"
