"""Names, ordinals, labels and volumes of a pod (spec statefulset-controller 3)."""

import msgspec
import pytest
from statefulset_world import claim_template, pod, statefulset, template

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.objects import ClaimSource, Pod, Volume
from kubeherd.controller.statefulset import claims, identity
from kubeherd.controller.statefulset.model import Revision
from kubeherd.controller.statefulset.podtemplate import new_pod, put_right

WEB = statefulset(3, claims=["data"])


@pytest.mark.parametrize(
    ("name", "parent", "ordinal"),
    [
        ("web-0", "web", 0),
        ("web-10", "web", 10),
        ("a-b-2", "a-b", 2),
        ("web-01", "web", 1),
        ("-3", "", 3),
        ("web", "", -1),
        ("web-", "", -1),
        ("web-x", "", -1),
        ("web-1x", "", -1),
        ("web-\u0661", "", -1),
        ("web-2147483647", "web", 2147483647),
        ("web-2147483648", "web", -1),
        (f"web-{'9' * 5000}", "web", -1),
    ],
)
def test_parent_name_and_ordinal(name: str, parent: str, ordinal: int) -> None:
    """TestGetParentNameAndOrdinal."""
    assert identity.parse(name) == (parent, ordinal)


def test_a_member_has_a_name_that_the_set_gives() -> None:
    """TestIsMemberOf."""
    assert identity.is_member(WEB, pod("web-1"))
    assert not identity.is_member(WEB, pod("webb-1"))
    assert not identity.is_member(WEB, pod("web-1-1"))
    assert not identity.is_member(WEB, pod("other"))


def test_ordinals_begin_where_the_set_says() -> None:
    """TestStatefulSetControlWithStartOrdinal."""
    assert list(identity.ordinals(WEB)) == [0, 1, 2]
    assert list(identity.ordinals(statefulset(2, start=7))) == [7, 8]
    assert list(identity.ordinals(statefulset(0, start=7))) == []


def test_identity_is_name_and_label() -> None:
    """TestIdentityMatches."""
    fine = pod("web-1")
    assert identity.matches(WEB, fine)
    wrong = {**fine.metadata.labels, identity.POD_NAME_LABEL: "web-2"}
    metadata = msgspec.structs.replace(fine.metadata, labels=wrong)
    assert not identity.matches(WEB, msgspec.structs.replace(fine, metadata=metadata))
    assert not identity.matches(WEB, pod("goo-1"))
    assert not identity.matches(WEB, pod("web-01"))


def mounting(*pairs: tuple[str, str]) -> Pod:
    volumes = [
        Volume(name=name, persistent_volume_claim=ClaimSource(claim_name=of)) for name, of in pairs
    ]
    found = pod("web-1")
    return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, volumes=volumes))


def test_storage_is_the_claim_of_the_ordinal() -> None:
    """TestStorageMatches."""
    assert claims.is_storage_right(WEB, mounting(("data", "data-web-1")))
    assert not claims.is_storage_right(WEB, mounting(("data", "data-web-2")))
    assert not claims.is_storage_right(WEB, mounting(("other", "data-web-1")))
    assert not claims.is_storage_right(WEB, pod("web-1"))
    assert claims.is_storage_right(statefulset(1), pod("web-1"))


def tree_of(name: str, spec: JsonObject) -> JsonObject:
    return {"metadata": {"name": name, "labels": {"app": "a", identity.POD_NAME_LABEL: "x"}},
            "spec": spec}  # fmt: skip


def test_a_pod_is_put_right_in_labels_and_volumes() -> None:
    """TestUpdateIdentity, TestUpdateStorage."""
    other = {"name": "scratch", "emptyDir": {}}
    wrong = {"name": "data", "emptyDir": {}}
    found = put_right(WEB, tree_of("web-1", {"nodeName": "n", "volumes": [wrong, other]}))
    assert found["metadata"]["labels"] == {
        "app": "a",
        "statefulset.kubernetes.io/pod-name": "web-1",
        "apps.kubernetes.io/pod-index": "1",
    }
    mounted = {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}
    assert found["spec"] == {"nodeName": "n", "volumes": [mounted, other]}


def test_a_new_pod_has_identity_owner_and_revision() -> None:
    """TestNewPodControllerRef and the rest of what a new pod has."""
    of = template()
    of["metadata"]["annotations"] = {"note": "x"}
    of["spec"]["subdomain"] = "elsewhere"
    made = new_pod(WEB, Revision("web-abc", of), 1)
    assert made["kind"] == "Pod"
    metadata = made["metadata"]
    (owner,) = metadata.pop("ownerReferences")
    assert (owner["kind"], owner["name"], owner["controller"]) == ("StatefulSet", "web", True)
    assert metadata == {
        "name": "web-1",
        "generateName": "web-",
        "namespace": "ns",
        "annotations": {"note": "x"},
        "labels": {
            "app": "a",
            "statefulset.kubernetes.io/pod-name": "web-1",
            "apps.kubernetes.io/pod-index": "1",
            "controller-revision-hash": "web-abc",
        },
    }
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("web-1", "svc")
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["data"]
    assert of["spec"] == {**template()["spec"], "subdomain": "elsewhere"}, "shared with others"


def test_without_a_service_there_is_no_subdomain() -> None:
    of = template()
    of["spec"]["subdomain"] = "elsewhere"
    spec = new_pod(statefulset(1, service_name=""), Revision("r", of), 0)["spec"]
    assert "subdomain" not in spec
    assert "volumes" not in spec


def test_claims_have_the_selector_s_labels_beside_their_own() -> None:
    """TestGetPersistentVolumeClaims."""
    of = claim_template()
    of["metadata"] |= {"labels": {"mine": "1", "app": "other"}, "annotations": {"a": "b"}}
    of["status"] = {"phase": "Pending"}
    of["metadata"]["creationTimestamp"] = None
    tree = claims.claim_tree(WEB, of, 2, [])
    assert tree["metadata"] == {
        "name": "data-web-2",
        "namespace": "ns",
        "labels": {"mine": "1", "app": "a"},
        "annotations": {"a": "b"},
    }
    assert set(tree) == {"apiVersion", "kind", "metadata", "spec"}
    assert of["metadata"]["labels"] == {"mine": "1", "app": "other"}
