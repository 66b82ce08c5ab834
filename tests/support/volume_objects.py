"""Claims, volumes and classes as values, and a store that plans are carried out on."""

from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api.helpers import volumebinding
from kubeherd.cluster.api.storageobjects import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from kubeherd.controller.volume import plan, reclaim
from kubeherd.controller.volume.binding import Create, Delete, Plan, Update
from kubeherd.controller.volume.plan import Sight

Tree = dict[str, Any]
ANNOTATIONS = {"done": BIND_COMPLETED, "controller": BOUND_BY_CONTROLLER}


def _annotations(words: str, more: dict[str, str] | None) -> dict[str, str]:
    return {ANNOTATIONS[word]: "yes" for word in words.split()} | (more or {})


def claim(
    name: str = "c",
    *,
    to: str = "",
    phase: str = "Pending",
    size: str = "1Gi",
    storage_class: str | None = "",
    notes: str = "",
    annotations: dict[str, str] | None = None,
    capacity: str = "",
    **spec: object,
) -> PersistentVolumeClaim:
    """A claim in namespace ns with the uid `uid-NAME`; `notes`: of the words in ANNOTATIONS."""
    status: Tree = {"phase": phase}
    if phase == "Bound":
        status |= {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": capacity or size}}
    tree: Tree = {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "annotations": _annotations(notes, annotations),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **({} if storage_class is None else {"storageClassName": storage_class}),
            **({"volumeName": to} if to else {}),
            **spec,
        },
        "status": status,
    }
    return msgspec.convert(tree, PersistentVolumeClaim)


def volume(
    name: str = "v",
    *,
    of: str = "",
    uid: str = "",
    phase: str = "Available",
    size: str = "1Gi",
    storage_class: str = "",
    policy: str = "Retain",
    notes: str = "",
    annotations: dict[str, str] | None = None,
    metadata: Tree | None = None,
    **spec: object,
) -> PersistentVolume:
    """A volume; `of`: the name of the claim in its reference, with this uid."""
    reference: Tree = {"namespace": "ns", "name": of, **({"uid": uid} if uid else {})}
    tree: Tree = {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "annotations": _annotations(notes, annotations),
            **(metadata or {}),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "storageClassName": storage_class,
            "persistentVolumeReclaimPolicy": policy,
            **({"claimRef": reference} if of else {}),
            **({} if "nfs" in spec or "csi" in spec else {"hostPath": {"path": "/tmp/x"}}),
            **spec,
        },
        "status": {"phase": phase},
    }
    return msgspec.convert(tree, PersistentVolume)


def storage_class(name: str = "fast", **fields: Any) -> StorageClass:
    tree: Tree = {"metadata": {"name": name, **fields.pop("metadata", {})}}
    return msgspec.convert({**tree, "provisioner": "kubeherd.io/fake", **fields}, StorageClass)


V = TypeVar("V", PersistentVolume, PersistentVolumeClaim)


def _updated(stored: V, sent: V, *, status: bool) -> V:
    return replace(stored, status=sent.status) if status else replace(sent, status=stored.status)


class Store:
    """Objects by name; carries plans out as the API server would."""

    def __init__(
        self, *objects: PersistentVolume | PersistentVolumeClaim | StorageClass, nodes: str = ""
    ) -> None:
        self.claims = {o.metadata.name: o for o in objects if isinstance(o, PersistentVolumeClaim)}
        self.volumes = {o.metadata.name: o for o in objects if isinstance(o, PersistentVolume)}
        self.classes = {o.metadata.name: o for o in objects if isinstance(o, StorageClass)}
        self.pods: list[str] = []
        self.nodes = frozenset(nodes.split())
        self.events: list[tuple[str, str]] = []

    def sight(self, of: PersistentVolumeClaim) -> Sight:
        """What the controller would see for a claim."""
        return Sight(
            named=self.volumes.get(of.volume_name),
            candidates=[
                one
                for one in self.volumes.values()
                if volumebinding.is_bound_to(one, of)
                or (one.claim is None and one.storage_class == (of.storage_class or ""))
            ],
            storage_class=self.classes.get(of.storage_class or ""),
            default_class=volumebinding.default_class(self.classes.values()),
            waiting_pods=self.pods,
            nodes=self.nodes & {of.metadata.annotations.get(SELECTED_NODE, "")},
        )

    def plan_of(self, of: PersistentVolume | PersistentVolumeClaim) -> Plan:
        """The plan for an object that is here."""
        if isinstance(of, PersistentVolumeClaim):
            return plan.plan(of, self.sight(of))
        known = self.claims.get(of.claim.name) if of.claim is not None else None
        return reclaim.plan(of, known, self.classes.get(of.storage_class))

    def sync(self, name: str, *, writes: int | None = None) -> int:
        """Decide about an object and write; only so many, if given. The number of writes."""
        of = self.claims.get(name) or self.volumes[name]
        decided = self.plan_of(of)
        for write in decided.writes[:writes]:
            self._write(write)
        if writes is None or writes >= len(decided.writes):
            self.events += [(said.event.reason, said.event.message) for said in decided.events]
        return len(decided.writes)

    def _write(self, write: Update | Create | Delete) -> None:
        match write:
            case Create(tree):
                made = msgspec.convert(tree, PersistentVolume)
                uid = f"uid-{made.metadata.name}"
                made = replace(made, metadata=replace(made.metadata, uid=uid))
                self.volumes.setdefault(
                    made.metadata.name, replace(made, status={"phase": "Pending"})
                )
            case Delete(gone):
                self.volumes.pop(gone.metadata.name, None)
            case Update(obj, status):
                self._update(obj, status=status)

    def _update(self, obj: PersistentVolume | PersistentVolumeClaim, *, status: bool) -> None:
        """As the server: a status and the rest are two things."""
        name = obj.metadata.name
        if isinstance(obj, PersistentVolume):
            self.volumes[name] = _updated(self.volumes[name], obj, status=status)
        else:
            self.claims[name] = _updated(self.claims[name], obj, status=status)

    def settle(self, most: int = 20) -> None:
        """Sync everything until nothing is written any more."""
        for _ in range(most):
            if not sum(
                self.sync(name) for name in [*self.claims, *self.volumes] if self._has(name)
            ):
                return
        raise AssertionError("it never settles")

    def _has(self, name: str) -> bool:
        return name in self.claims or name in self.volumes
