"""The typed views of objects."""

import msgspec

from kubeherd.cluster.api.objects import Pod, PodSpec, Toleration

TOLERATIONS = b'[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute"}]'


def decoded(name: str, tolerations: bytes) -> Pod:
    body = b'{"metadata":{"name":"%s"},"spec":{"tolerations":%s}}' % (name.encode(), tolerations)
    return msgspec.json.decode(body, type=Pod)


def test_equal_tolerations_are_held_once_for_all_pods() -> None:
    first, second = decoded("a", TOLERATIONS), decoded("b", TOLERATIONS)
    assert first.spec.tolerations is second.spec.tolerations
    assert first.spec.tolerations == (
        Toleration(key="node.kubernetes.io/not-ready", operator="Exists", effect="NoExecute"),
    )


def test_other_tolerations_stay_their_own() -> None:
    other = decoded("b", b'[{"operator":"Exists"}]')
    assert other.spec.tolerations == (Toleration(operator="Exists"),)
    assert decoded("a", TOLERATIONS).spec.tolerations != other.spec.tolerations
    assert PodSpec().tolerations == ()


def test_what_is_shared_is_written_as_it_was_read() -> None:
    assert msgspec.json.decode(msgspec.json.encode(decoded("a", TOLERATIONS))) == {
        "status": {},
        "metadata": {"name": "a"},
        "spec": {"tolerations": msgspec.json.decode(TOLERATIONS)},
    }
