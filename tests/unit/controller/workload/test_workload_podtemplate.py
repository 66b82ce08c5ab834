"""A pod from a template: what of it is kept, and whose it is."""

import pytest

from kubeherd.cluster.api.kinds import DAEMONSETS
from kubeherd.cluster.api.objects import ObjectMeta
from kubeherd.controller.workload.claim import Owner
from kubeherd.controller.workload.pods.podtemplate import pod_from_template


def owner(name: str = "web") -> Owner:
    return Owner(DAEMONSETS, ObjectMeta(name=name, namespace="ns", uid="u"))


def test_metadata_is_taken_in_part_and_the_spec_as_it_is() -> None:
    template = {
        "metadata": {
            "name": "dropped",
            "namespace": "elsewhere",
            "creationTimestamp": None,
            "labels": {"app": "web"},
            "annotations": {"a": "b"},
            "finalizers": ["x.io/f"],
            "ownerReferences": [{"uid": "other"}],
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    assert pod_from_template(owner(), template) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-",
            "namespace": "ns",
            "labels": {"app": "web"},
            "annotations": {"a": "b"},
            "finalizers": ["x.io/f"],
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": "web",
                    "uid": "u",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


@pytest.mark.parametrize("template", [{}, {"metadata": None, "spec": None}])
def test_an_empty_template_gives_an_empty_pod(template: dict[str, object]) -> None:
    made = pod_from_template(owner(), template)
    assert made["spec"] == {}
    assert sorted(made["metadata"]) == ["generateName", "namespace", "ownerReferences"]


def test_the_longest_name_has_its_dash_too() -> None:
    """A prefix is checked with its last two characters masked, so 254 of them are valid."""
    made = pod_from_template(owner("n" * 253), {})
    assert made["metadata"]["generateName"] == "n" * 253 + "-"
