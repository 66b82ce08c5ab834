"""What a body says of its kind, and the words for one that it cannot be (recorded from v1.36.2)."""

import pytest

from kubeherd.cluster.api.errors import BadRequest
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.handlers import objectkinds

SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'


@pytest.mark.parametrize(
    ("tree", "group", "version", "kind", "message"),
    [
        (
            {"apiVersion": "storage.k8s.io/v1", "kind": "Bogus"},
            "storage.k8s.io",
            "v1",
            "CSIDriver",
            'Bogus in version "v1" cannot be handled as a CSIDriver: no kind "Bogus" is registered '
            f'for version "storage.k8s.io/v1" {SCHEME}',
        ),
        (
            {"apiVersion": "v9", "kind": "Pod"},
            "",
            "v1",
            "Pod",
            'Pod in version "v9" cannot be handled as a Pod: no kind "Pod" is registered for '
            f'version "v9" {SCHEME}',
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment"},
            "autoscaling",
            "v1",
            "Scale",
            'Deployment in version "v1" cannot be handled as a Scale: converting (v1.Deployment) '
            "to (autoscaling.Scale): unknown conversion",
        ),
        (
            {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"},
            "autoscaling",
            "v2",
            "HorizontalPodAutoscaler",
            "the API version in the data (autoscaling/v1) does not match the expected API version "
            "(autoscaling/v2)",
        ),
        (
            {"kind": 1},
            "",
            "v1",
            "Pod",
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; "
            "json parse error: json: cannot unmarshal number into Go struct field .kind of type "
            "string (<empty>)",
        ),
    ],
)
def test_other_kinds_are_refused(
    tree: JsonObject, group: str, version: str, kind: str, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        objectkinds.check(tree, b"", group, version, kind)
    assert caught.value.message == message


def test_kind_and_version_are_filled_in() -> None:
    tree: JsonObject = {}
    objectkinds.check(tree, b"{}", "apps", "v1", "DaemonSet")
    assert tree == {"apiVersion": "apps/v1", "kind": "DaemonSet"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", "<empty>"),
        (b"{bad", "{bad"),
        (b"[]", "5b5d"),
        (b'{"apiVersion": "apps/v1", "kind": "D"}', '{"apiVersion": "apps/v1", "kin ...'),
        (b"a: [", "613a205b"),
    ],
)
def test_what_is_no_object_is_shown(body: bytes, shown: str) -> None:
    error = objectkinds.unrecognized("Pod", body, "why")
    assert error.message == (
        f"the object provided is unrecognized (must be of type Pod): why ({shown})"
    )
