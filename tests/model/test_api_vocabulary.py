"""Objects of random content for every kind: whatever fits the schema is judged, never a crash."""

import copy
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.helpers import qos
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType
from kubeherd.cluster.api.serializer import decoding

TEXTS = (
    "",
    "a",
    "a.b",
    "A/b",
    "-",
    "10%",
    "x" * 300,
    "é",
    "Always",
    "RollingUpdate",
    "In",
    "10.0.0.1",
)
QUANTITIES = ("0", "1", "-1", "100m", "1Gi", "1e3", 0.5, 3, "0.0000000001")
TIMES = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+02:00")
NUMBERS = (-1, 0, 1, 80, 70000, 2**31 - 1)
MAX_DEPTH = 7


def value(field: Field, rng: random.Random, depth: int) -> Any:
    """A random value that the field's type allows, now and then null or of another type."""
    if rng.random() < 0.003:
        return rng.choice((None, "?", 1, [], {}, True))
    match field.type:
        case FieldType.OBJECT:
            return some_object(field, rng, depth)
        case FieldType.LIST:
            assert field.items is not None
            return [value(field.items, rng, depth + 1) for _ in range(rng.randrange(3))]
        case FieldType.MAP:
            assert field.additional is not None
            names = rng.sample(("cpu", "a", "x.io/gpu", "A b", "memory"), rng.randrange(3))
            return {name: value(field.additional, rng, depth + 1) for name in names}
        case FieldType.BOOL:
            return rng.random() < 0.5
        case FieldType.QUANTITY:
            return rng.choice(QUANTITIES)
        case FieldType.TIME | FieldType.MICRO_TIME:
            return rng.choice(TIMES)
        case FieldType.BYTES:
            return rng.choice(("", "AAAA", "AA=="))
        case FieldType.INT_OR_STRING:
            return rng.choice((*NUMBERS, *TEXTS))
        case FieldType.RAW | FieldType.RAW_OBJECT:
            return {"a": [1, None, "x"]}
        case FieldType.STRING:
            return rng.choice(TEXTS)
        case _:
            return rng.choice(NUMBERS)


def some_object(field: Field, rng: random.Random, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        return {}
    names = list(field.properties)
    chosen = rng.sample(names, min(len(names), rng.randrange(6)))
    wanted = [name for name in ("metadata", "spec", "status", "template", "containers")
              if name in field.properties]  # fmt: skip
    return {
        name: value(field.properties[name], rng, depth + 1)
        for name in dict.fromkeys((*wanted, *chosen))
    }


def decoded(resource: kinds.Resource, rng: random.Random) -> dict[str, Any] | None:
    key = schemas.key_of(resource.group, resource.version, resource.kind)
    tree = some_object(Field(FieldType.OBJECT, definition_key=key), rng, 0)
    try:
        decoding.decode(resource, tree)
    except ApiError as error:
        if error.status_code != 400:
            raise
        return None
    defaults.apply(resource, tree)
    return tree


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(kinds.ALL), st.integers(0, 2**32))
def test_every_object_is_defaulted_once_and_judged(resource: kinds.Resource, seed: int) -> None:
    rng = random.Random(seed)
    new, old = decoded(resource, rng), decoded(resource, rng)
    if new is None or old is None:
        return
    before = copy.deepcopy(new)
    validation.create(resource, new)
    for subresource in ("", "status", *(sub.name for sub in resource.subresources)):
        validation.update(resource, new, old, subresource)
    assert new == before, "validation changes nothing"
    assert decoding.decode(resource, new) == []
    defaults.apply(resource, new)
    assert new == before, "decoding and defaulting are idempotent"
    if resource is kinds.PODS:
        assert qos.qos_class(new) in ("Guaranteed", "Burstable", "BestEffort")


def test_the_kinds_with_rules_of_their_own_often() -> None:
    rng = random.Random(36)
    judged = 0
    for resource in (kinds.PODS, kinds.DAEMONSETS, kinds.NODES, kinds.CONTROLLERREVISIONS):
        for _ in range(60):
            new, old = decoded(resource, rng), decoded(resource, rng)
            if new is not None and old is not None:
                judged += 1
                validation.create(resource, new)
                for subresource in ("", "status", "resize", "ephemeralcontainers"):
                    validation.update(resource, new, old, subresource)
    assert judged > 120
