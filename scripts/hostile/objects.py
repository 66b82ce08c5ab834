"""Objects made from the schemas of Kubernetes, and what makes them hostile; all from a seed."""

import copy
import random
from typing import Any

from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

NAMES = ("a", "b", "c", "default", "n1", "x-1")
_LIST_LENGTHS = (0, 1, 1, 1, 2, 3)
_MAX_DEPTH = 7
_STRINGS = ("a", "b", "nginx:1", "Always", "ClusterFirst", "100m", "a.b/c", "v1", "Pod", "/p", "")
_TIMES = ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
_QUANTITIES = ("1", "100m", "1Gi", "1e3", "0")
_NAMED = {
    "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "image": "nginx:1", "kind": "Pod",
    "effect": "NoSchedule", "protocol": "TCP", "apiGroup": "rbac.authorization.k8s.io",
    "operator": "Exists", "terminationMessagePolicy": "File", "imagePullPolicy": "Always",
    "namespace": "default", "uid": "u-1", "apiVersion": "v1", "resourceVersion": "",
}  # fmt: skip

_POD = {"containers": [{"name": "c", "image": "nginx:1"}]}
_TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": _POD}
_WORKLOAD = {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": _TEMPLATE}}
_SIMPLE: dict[str, Any] = {
    "Pod": {"spec": {**_POD, "nodeName": "n1"}, "status": {
        "phase": "Running", "containerStatuses": [{
            "name": "c", "image": "nginx:1", "ready": True, "restartCount": 0, "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}},
    "Deployment": _WORKLOAD, "DaemonSet": _WORKLOAD, "ReplicaSet": _WORKLOAD,
    "StatefulSet": {"spec": {**_WORKLOAD["spec"], "serviceName": "a"}},
    "Job": {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 0, "selector": {"matchLabels": {}}}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
}  # fmt: skip
"""Objects that are valid: random ones of these kinds hardly ever are."""

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, -(2**63), 2**63, 2**64, 1.5, -0.0, 1e308, "", " ", "x", "é",
    "\x00", "\ud7ff", "a" * 300, "A_b", "-", "../x", "1e99", "9" * 400, "-1", "100%",
    "1" * 999 + "Ki",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z",
    "2016-12-31T23:59:60Z", [], [None], [[]], [1, "a", {}], {}, {"": None}, {"a": {"b": [{}]}},
    {"$patch": "delete"}, {"$patch": "replace"}, {"$retainKeys": ["a"]},
    [{"name": "a"}, {"name": "a"}], {"f:metadata": {"f:labels": {}}}, {"k:{\"a\":1}": {}},
)  # fmt: skip
"""Values that are of the wrong type, out of range or nonsense somewhere."""


class Objects:
    """Makes trees. The same seed makes the same ones."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def of(self, resource: Resource, name: str) -> Any:
        """An object of a kind that is nearly valid: required fields and some others."""
        key = schemas.key_of(resource.group, resource.version, resource.kind)
        simple = _SIMPLE.get(resource.kind) if self._rng.random() < 0.6 else None
        tree = self._object(key, 0) if simple is None else copy.deepcopy(simple)
        meta = {"name": name}
        if self._rng.random() < 0.4:
            meta |= self._object(
                "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", _MAX_DEPTH - 3
            ) | {"name": name}
            for server_set in ("namespace", "resourceVersion", "uid", "generateName"):
                meta.pop(server_set, None)
        return {**tree, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}

    def _object(self, key: str, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, field in schemas.by_key(key).properties.items():
            if name in ("apiVersion", "kind", "metadata", "managedFields") and depth == 0:
                continue
            wanted = 1.0 if field.required or name in ("spec", "template", "selector") else 0.18
            if depth > _MAX_DEPTH and not field.required:
                wanted = 0.0
            if self._rng.random() < wanted:
                out[name] = self._value(name, field, depth + 1)
        return out

    def _value(self, name: str, field: Field, depth: int) -> Any:
        rng = self._rng
        match field.type:
            case FieldType.OBJECT:
                return {} if depth > _MAX_DEPTH + 4 else self._object(field.definition_key, depth)
            case FieldType.LIST if field.items is not None:
                length = rng.choice(_LIST_LENGTHS) if depth <= _MAX_DEPTH else 0
                length = max(length, 1) if field.required else length
                return [self._value(name, field.items, depth) for _ in range(length)]
            case FieldType.MAP if field.additional is not None:
                keys = rng.sample(("a", "b", "app", "a.b/c", "cpu"), rng.randint(0, 2))
                return {key: self._value(key, field.additional, depth) for key in keys}
            case FieldType.STRING:
                return self._string(name)
            case FieldType.BOOL:
                return rng.random() < 0.5
            case FieldType.TIME | FieldType.MICRO_TIME:
                return rng.choice(_TIMES)
            case FieldType.QUANTITY:
                return rng.choice(_QUANTITIES)
            case FieldType.BYTES:
                return rng.choice(("", "YQ==", "YWI="))
            case FieldType.RAW | FieldType.RAW_OBJECT:
                return {"a": copy.deepcopy(rng.choice(ODD))}
            case _:
                return rng.choice((0, 1, 1, 2, 80, 100))

    def _string(self, name: str) -> str:
        if name == "name" or name.endswith("Name"):
            return self._rng.choice(NAMES)
        known = _NAMED.get(name)
        return known if known is not None else self._rng.choice(_STRINGS)

    def mutated(self, tree: Any) -> Any:
        """The tree with one part replaced, removed, added or doubled."""
        rng = self._rng
        tree = copy.deepcopy(tree)
        holder, key = self._place(tree)
        if holder is None:
            return copy.deepcopy(rng.choice(ODD))
        how = rng.randrange(6)
        odd = copy.deepcopy(rng.choice(ODD))
        if how <= 2:
            holder[key] = odd
        elif how == 3:
            del holder[key]
        elif how == 4 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif isinstance(holder, dict):
            holder[rng.choice(("unknown", "", "name", "$patch", "a" * 70, "metadata"))] = odd
        return tree

    def _place(self, tree: Any) -> tuple[Any, Any]:
        """A random container in the tree and one of its keys; (None, None) if there is none."""
        holder, key, node = None, None, tree
        while isinstance(node, dict | list) and node:
            holder = node
            key = self._rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
            if self._rng.random() < 0.3:
                break
        return holder, key

    def pointer(self, tree: Any) -> str:
        """A JSON pointer to somewhere in the tree, or to nowhere."""
        path, node = "", tree
        while isinstance(node, dict | list) and node and self._rng.random() < 0.75:
            key = self._rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            path += "/" + str(key).replace("~", "~0").replace("/", "~1")
            node = node[key]
        return path + self._rng.choice(("", "", "", "/-", "/x", "/0", "/~2", "/-1"))
