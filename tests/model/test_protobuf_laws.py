"""Laws of protobuf bodies, over random objects of every served kind."""

import random
from typing import Any

import pytest
from gorandom import Objects
from hypothesis import given, settings
from hypothesis import strategies as st
from protowire import fields, opened

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.api.schemas import definitions, gostructs
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.serializer.protobuf import bodies, special

SERVED = sorted({(resource.api_version, resource.kind) for resource in kinds.ALL})
OTHERS = [("v1", "Status"), ("v1", "DeleteOptions"), ("policy/v1", "Eviction"),
          ("autoscaling/v1", "Scale"), ("authentication.k8s.io/v1", "TokenRequest"),
          ("v1", "APIResourceList"), ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"),
          ("meta.k8s.io/v1", "PartialObjectMetadataList"), ("v1", "PodList")]  # fmt: skip
seeds = st.integers(0, 2**32)


def random_object(seed: int, api_version: str, kind: str) -> dict[str, Any]:
    return Objects(random.Random(seed)).of_kind(api_version, kind)


@pytest.mark.parametrize(("api_version", "kind"), [*SERVED, *OTHERS])
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_what_is_written_is_read_back(api_version: str, kind: str, seed: int) -> None:
    tree = random_object(seed, api_version, kind)
    body = bodies.encode(tree)
    assert codecs.decode_body(codecs.PROTOBUF, body).tree == tree
    assert opened(body)[:2] == (api_version, kind)


@pytest.mark.parametrize(("api_version", "kind"), SERVED)
@settings(max_examples=3, deadline=None)
@given(seed=seeds)
def test_fields_are_written_in_the_order_of_their_numbers(
    api_version: str, kind: str, seed: int
) -> None:
    _, _, raw = opened(bodies.encode(random_object(seed, api_version, kind)))
    numbers = [number for number, _ in fields(raw)]
    assert numbers == sorted(numbers)


@settings(max_examples=300, deadline=None)
@given(seed=seeds, which=st.sampled_from(SERVED), data=st.data())
def test_damaged_bodies_are_read_or_refused(
    seed: int, which: tuple[str, str], data: st.DataObject
) -> None:
    body = bytearray(bodies.encode(random_object(seed, *which)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(4, len(body)))
    for damaged in (bytes(body), bytes(body[:cut])):
        try:
            tree = codecs.decode_body(codecs.PROTOBUF, damaged, expected=which).tree
        except ApiError as error:
            assert error.status_code == 400  # noqa: PT017 - a refusal is one of two right answers
        else:
            again = bodies.decode(bodies.encode(tree)) if bodies.struct_of(*which) else tree
            assert again == tree


def test_the_table_has_the_fields_of_the_schemas() -> None:
    compared = 0
    for key in sorted(definitions.keys()):
        struct = gostructs.struct_of_definition(key)
        if not gostructs.is_struct(struct) or struct in special.READERS:
            continue
        type_meta = {"kind", "apiVersion"}  # which only objects have, and some other structs
        properties = {*definitions.by_key(key).properties}
        assert _names(struct) | type_meta == properties | type_meta, key
        compared += 1
    assert compared > 500


def _names(struct: str) -> set[str]:
    found: set[str] = set()
    for field in gostructs.fields(struct):
        found |= {field.name} if field.name else _names(field.type)
    return found
