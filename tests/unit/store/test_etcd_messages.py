"""Our etcd messages are etcd's."""

import importlib
from typing import Any

import pytest

pytest.importorskip("hpack", reason="the extra etcd is not installed")
aetcd = pytest.importorskip("aetcd", reason="nothing to compare with")
messages = importlib.import_module("kubeherd.cluster.store.etcd.messages")


def shape(field: Any) -> tuple[Any, ...]:
    enum = field.enum_type is not None
    return (
        field.number,
        "int32" if enum else field.message_type and field.message_type.name,
        field.cpp_type if not enum else field.CPPTYPE_INT32,
        field.is_repeated,
        field.containing_oneof is not None,
        field.is_packed,
    )


@pytest.mark.parametrize("name", sorted(vars(messages.rpc)))
def test_fields_have_etcds_numbers_and_types(name: str) -> None:
    theirs = getattr(aetcd.rpc, name, None) or getattr(aetcd.rpc.kv_pb2, name)
    known = {field.name: field for field in theirs.DESCRIPTOR.fields}
    for field in getattr(messages.rpc, name).DESCRIPTOR.fields:
        expected = shape(known[field.name])
        found = shape(field)
        assert (found[0], found[2:]) == (expected[0], expected[2:]), field.name
        assert expected[1] in (found[1], "int32"), field.name


def test_what_a_compare_asks_for() -> None:
    theirs = aetcd.rpc.Compare
    assert (messages.VERSION, messages.MOD) == (theirs.VERSION, theirs.MOD)
    assert messages.LESS == theirs.LESS
    zero = messages.rpc.Compare(target=messages.MOD, key=b"a", mod_revision=0)
    expected = theirs(target=theirs.MOD, key=b"a", mod_revision=0)
    assert zero.SerializeToString() == expected.SerializeToString()
