"""VolumeBinding: cases of upstream's binder_test.go and volume_binding_test.go (v1.36)."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from controllerworld import node, play, pod
from fakeapi import FakeApi

from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import NODES, PODS
from kubeherd.cluster.api.objects import Node, Pod
from kubeherd.cluster.api.storageobjects import (
    BIND_COMPLETED,
    CLAIMS,
    CLASSES,
    SELECTED_NODE,
    VOLUMES,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.scheduler import volumebinder, volumes
from kubeherd.controller.scheduler.controller import Scheduler
from kubeherd.controller.scheduler.volumes import Assumed, PodVolumes, Stock
from kubeherd.controller.volume.controller import VolumeBinder

NODE_1: Node = msgspec.convert(node("n1", metadata={"labels": {"host": "n1", "zone": "a"}}), Node)
NODE_2: Node = msgspec.convert(node("n2", metadata={"labels": {"host": "n2", "zone": "b"}}), Node)


def using(*claims: str, **spec: Any) -> JsonObject:
    """The pod p with these claims."""
    found = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return pod("p", volumes=found, **spec)


def claim(
    name: str, *, to: str = "", size: str = "1Gi", of_class: str = "late", **meta: Any
) -> JsonObject:
    done = {BIND_COMPLETED: "yes"} if to else {}
    annotations = {**done, **meta.pop("annotations", {})}
    base = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "annotations": annotations}
    return {
        "metadata": {**base, **meta},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": of_class,
            **({"volumeName": to} if to else {}),
        },
        "status": {"phase": "Bound" if to else "Pending"},
    }


def volume(name: str, host: str = "", size: str = "1Gi", of: str = "", **spec: Any) -> JsonObject:
    """A volume of the class "late", reachable from one host or from all."""
    term = {"matchExpressions": [{"key": "host", "operator": "In", "values": [host]}]}
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}} if host else {}
    reference = {"claimRef": {"namespace": "ns", "name": of, "uid": f"uid-{of}"}} if of else {}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "storageClassName": "late",
            **affinity,
            **reference,
            **spec,
        },
        "status": {"phase": "Bound" if of else "Available"},
    }


def storage_class(name: str = "late", **fields: Any) -> JsonObject:
    late = {"volumeBindingMode": "WaitForFirstConsumer"} if name == "late" else {}
    return {"metadata": {"name": name}, "provisioner": "kubeherd.io/fake", **late, **fields}


NO_PROVISIONER = storage_class(provisioner="kubernetes.io/no-provisioner")


def stock(objects: Iterable[JsonObject]) -> Stock:
    claims: dict[Any, PersistentVolumeClaim] = {}
    found: dict[str, PersistentVolume] = {}
    classes: dict[str, StorageClass] = {}
    for tree in objects:
        name = tree["metadata"]["name"]
        if "provisioner" in tree:
            classes[name] = msgspec.convert(tree, StorageClass)
        elif "capacity" in tree["spec"]:
            found[name] = msgspec.convert(tree, PersistentVolume)
        else:
            claims["ns", name] = msgspec.convert(tree, PersistentVolumeClaim)

    def candidates(of: PersistentVolumeClaim) -> list[PersistentVolume]:
        return [v for v in found.values() if v.claim is None or volumebinding.is_bound_to(v, of)]

    return Stock(claims.get, found.get, candidates, classes.get)


def examined(
    tree: JsonObject, *objects: JsonObject, assumed: Assumed | None = None
) -> PodVolumes | str | None:
    return volumes.examine(msgspec.convert(tree, Pod), stock(objects), assumed or Assumed())


def decided(
    on: Node, tree: JsonObject, *objects: JsonObject, assumed: Assumed | None = None
) -> Any:
    """(claim, volume) pairs and claims to provision for; None where the node does not fit."""
    found = examined(tree, *objects, assumed=assumed)
    assert isinstance(found, PodVolumes)
    decision = found.decision(on)
    if decision is None:
        return None
    pairs = [(b.claim.metadata.name, b.volume.metadata.name) for b in decision.static]
    return pairs, [c.metadata.name for c in decision.provisioned]


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], 'persistentvolumeclaim "c" not found'),
        ([claim("c")], volumes.UNBOUND),
        ([claim("c", of_class="now"), storage_class("now")], volumes.UNBOUND),
        ([claim("c", of_class="")], volumes.UNBOUND),
        ([claim("c", to="v") | {"status": {"phase": "Lost"}}],
         'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"'),
        ([claim("c", deletionTimestamp="T")], 'persistentvolumeclaim "c" is being deleted'),
    ],
)  # fmt: skip
def test_pods_that_fit_nowhere(objects: list[JsonObject], message: str) -> None:
    assert examined(using("c"), *objects) == message


def test_a_claim_that_is_made_for_the_pod() -> None:
    tree = pod("p", volumes=[{"name": "own", "ephemeral": {}}])
    tree["metadata"]["uid"] = "uid-p"
    assert examined(tree) == (
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-own"'
    )
    assert examined(tree, claim("p-own"), storage_class()) == (
        "PVC ns/p-own was not created for pod ns/p (pod is not owner)"
    )
    owner = {"kind": "Pod", "name": "p", "uid": "uid-p", "controller": True}
    own = claim("p-own", ownerReferences=[owner])
    assert isinstance(examined(tree, own, storage_class()), PodVolumes)


def test_a_pod_without_claims_is_no_concern() -> None:
    assert examined(pod("p", volumes=[{"name": "e", "emptyDir": {}}])) is None


@pytest.mark.parametrize(
    ("on", "the_volume", "reasons"),
    [
        (NODE_1, volume("v", "n1", of="c"), ()),
        (NODE_2, volume("v", "n1", of="c"), (volumes.NODE_CONFLICT,)),
        (NODE_2, volume("v", of="c"), ()),
        (NODE_1, volume("other", of="c"), (volumes.NO_VOLUME,)),
    ],
)
def test_bound_claims(on: Node, the_volume: JsonObject, reasons: tuple[str, ...]) -> None:
    found = examined(using("c"), claim("c", to="v"), the_volume)
    assert isinstance(found, PodVolumes)
    assert found.reasons(on) == reasons


def test_the_smallest_volume_that_the_node_reaches() -> None:
    there = [volume("a", "n1", "5Gi"), volume("b", "n1", "2Gi"), volume("d", "n2")]
    given = [claim("c"), NO_PROVISIONER, *there]
    assert decided(NODE_1, using("c"), *given) == ([("c", "b")], [])
    assert decided(NODE_2, using("c"), *given) == ([("c", "d")], [])


def test_two_claims_get_two_volumes_the_smaller_claim_first() -> None:
    claims = [claim("big", size="2Gi"), claim("small"), NO_PROVISIONER]
    both = [volume("a", size="2Gi"), volume("b", size="3Gi")]
    tree = using("big", "small")
    assert decided(NODE_1, tree, *claims, *both) == ([("small", "a"), ("big", "b")], [])
    assert decided(NODE_1, tree, *claims, both[1]) is None


@pytest.mark.parametrize(
    ("of_class", "on", "found"),
    [
        (NO_PROVISIONER, NODE_1, None),
        (storage_class(), NODE_1, ([], ["c"])),
        (storage_class(allowedTopologies=[
            {"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}
        ]), NODE_1, ([], ["c"])),
        (storage_class(allowedTopologies=[
            {"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}
        ]), NODE_2, None),
    ],
)  # fmt: skip
def test_volumes_that_are_to_be_made(of_class: JsonObject, on: Node, found: object) -> None:
    assert decided(on, using("c"), claim("c"), of_class) == found


def test_a_claim_whose_node_was_chosen_fits_no_other() -> None:
    chosen = claim("c", annotations={SELECTED_NODE: "n1"})
    assert decided(NODE_1, using("c"), chosen, storage_class()) == ([], ["c"])
    assert decided(NODE_2, using("c"), chosen, storage_class()) is None


def test_what_is_being_written_counts() -> None:
    given = [claim("c"), claim("d"), storage_class(), volume("v")]
    assumed = Assumed()
    found = examined(using("c"), *given, assumed=assumed)
    assert isinstance(found, PodVolumes)
    first = found.decision(NODE_1)
    assert first is not None
    assumed.add(first)
    assert decided(NODE_1, using("d"), *given, assumed=assumed) == ([], ["d"])
    assert decided(NODE_1, using("c"), *given, assumed=assumed) == ([("c", "v")], [])
    assumed.remove(first)
    assert decided(NODE_1, using("d"), *given, assumed=assumed) == ([("d", "v")], [])


# --- on virtual time, with the binder ---


def node_of(api: FakeApi, name: str = "p") -> str:
    tree = api.get(PODS, name, "ns")
    assert tree is not None
    return str(tree["spec"].get("nodeName", ""))


def fresh(name: str, **fields: Any) -> JsonObject:
    """A claim as it is created."""
    tree = claim(name, **fields)
    del tree["metadata"]["uid"]
    return tree


def with_nodes(api: FakeApi) -> None:
    for one in ("n1", "n2"):
        api.put(NODES, node(one, metadata={"labels": {"host": one}}))


def test_a_pod_waits_for_its_claim_and_is_bound() -> None:
    async def scenario(api: FakeApi) -> None:
        with_nodes(api)
        api.put(PODS, using("c"))
        await api.clock.sleep(1)
        api.put(CLASSES, storage_class())
        api.put(CLAIMS, fresh("c"))
        await api.clock.sleep(10)
        assert node_of(api)
        made = api.get(CLAIMS, "c", "ns")
        assert made is not None
        assert made["metadata"]["annotations"][SELECTED_NODE] == node_of(api)
        assert made["status"]["phase"] == "Bound"

    api = play(Scheduler, VolumeBinder, scenario=scenario)
    assert (
        "p",
        "FailedScheduling",
        '0/2 nodes are available: persistentvolumeclaim "c" not found. preemption: 0/2 nodes are '
        "available: 2 Preemption is not helpful for scheduling.",
    ) in api.events()


def test_a_static_volume_leads_the_pod_to_its_node() -> None:
    async def scenario(api: FakeApi) -> None:
        with_nodes(api)
        api.put(CLASSES, NO_PROVISIONER)
        api.put(VOLUMES, volume("v", "n2"))
        api.put(CLAIMS, fresh("c"))
        await api.clock.sleep(0.2)
        api.put(PODS, using("c"))
        api.put(
            PODS, pod("q", volumes=[{"name": "x", "persistentVolumeClaim": {"claimName": "d"}}])
        )
        api.put(CLAIMS, fresh("d"))
        await api.clock.sleep(5)
        assert node_of(api) == "n2"
        assert not node_of(api, "q")
        bound = api.get(VOLUMES, "v")
        assert bound is not None
        assert bound["spec"]["claimRef"]["name"] == "c"
        assert bound["status"]["phase"] == "Bound"
        api.put(VOLUMES, volume("w", "n1"))
        await api.clock.sleep(15)
        assert node_of(api, "q") == "n1"

    api = play(Scheduler, VolumeBinder, scenario=scenario)
    assert (
        "q",
        "FailedScheduling",
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    ) in api.events()


def test_pods_that_wait_for_volumes_hold_back_no_others() -> None:
    async def scenario(api: FakeApi) -> None:
        for number in range(20):
            api.put(NODES, node(f"n{number}"))
        api.put(CLASSES, storage_class(provisioner="elsewhere.example.com"))
        for number in range(80):
            api.put(CLAIMS, fresh(f"c{number}"))
            tree = using(f"c{number}")
            tree["metadata"]["name"] = f"p{number}"
            api.put(PODS, tree)
        await api.clock.sleep(5)
        assert not any(node_of(api, f"p{number}") for number in range(80))
        api.put(PODS, pod("plain"))
        await api.clock.sleep(1)
        assert node_of(api, "plain")

    play(Scheduler, VolumeBinder, scenario=scenario)


def test_a_wait_for_volumes_ends() -> None:
    async def scenario(api: FakeApi) -> None:
        with_nodes(api)
        api.put(CLASSES, storage_class(provisioner="elsewhere.example.com"))
        for name in ("p", "gone"):
            api.put(CLAIMS, fresh(f"c-{name}"))
            tree = using(f"c-{name}")
            tree["metadata"]["name"] = name
            api.put(PODS, tree)
        await api.clock.sleep(5)
        api.remove(PODS, "gone", "ns")
        await api.clock.sleep(volumebinder.BIND_TIMEOUT_S)

    api = play(Scheduler, VolumeBinder, scenario=scenario)
    failed = [event for event in api.events() if event[1] == "FailedScheduling"]
    assert failed == [
        (
            "p",
            "FailedScheduling",
            'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded',
        )
    ]


def test_a_provisioner_that_gives_up_sends_the_pod_back() -> None:
    async def scenario(api: FakeApi) -> None:
        with_nodes(api)
        api.put(CLASSES, storage_class(provisioner="elsewhere.example.com"))
        api.put(CLAIMS, fresh("c"))
        api.put(PODS, using("c"))
        await api.clock.sleep(1)
        path = CLAIMS.path("ns", "c")
        api.edit(path, lambda tree: tree["metadata"]["annotations"].pop(SELECTED_NODE))
        await api.clock.sleep(5)
        again = api.get(CLAIMS, "c", "ns")
        assert again is not None
        assert again["metadata"]["annotations"][SELECTED_NODE]

    api = play(Scheduler, VolumeBinder, scenario=scenario)
    assert (
        "p",
        "FailedScheduling",
        'running PreBind plugin "VolumeBinding": provisioning failed for PVC "c"',
    ) in api.events()
