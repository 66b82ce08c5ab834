"""The kinds with which the API server is compared with its model: how their objects are written
and what of them the model knows; and the server with their namespaces and definition."""

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from apicluster import APPLY, JSON_PATCH, MERGE, STRATEGIC, Cluster, daemon_set
from crdcluster import custom_cluster
from referencemodel import Object

NAMESPACES = ("x", "z")
NAMES = ("a", "b")
LABEL_SETS: tuple[dict[str, str], ...] = ({}, {"app": "a"}, {"app": "b", "tier": "t"})
SELECTORS: tuple[dict[str, str], ...] = ({}, {"app": "a"}, {"app": "b"}, {"tier": "t"})


@dataclass(frozen=True)
class Kind:
    """A kind, its smallest object, and where the two values are that the model knows."""

    api_version: str
    name: str
    base: dict[str, Any]
    where: tuple[str | int, ...]
    texts: str = ""
    """The value is text, this with the number after it."""
    status: tuple[str, ...] = ()
    status_base: Any = None
    first_status: Any = None
    status_texts: bool = False
    is_built_in: bool = True

    @property
    def plural(self) -> str:
        return self.name.lower() + "s"

    @property
    def has_status(self) -> bool:
        return bool(self.status)

    def path(self, namespace: str, name: str = "") -> str:
        root = (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )
        middle = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{middle}/{self.plural}" + (f"/{name}" if name else "")

    def tree(self, name: str, one: Object) -> dict[str, Any]:
        """An object to be created."""
        meta = {"name": name, "labels": dict(one.labels), "finalizers": list(one.finalizers)}
        tree = {
            **copy.deepcopy(self.base),
            "apiVersion": self.api_version,
            "kind": self.name,
            "metadata": meta,
        }
        self.set(tree, one.value or 1)
        return tree

    def set(self, tree: Any, value: int) -> None:
        """Write the value of the spec."""
        *path, last = self.where
        for part in path:
            tree = tree[part]
        tree[last] = f"{self.texts}{value}" if self.texts else value

    def status_value(self, number: int) -> Any:
        return str(number) if self.status_texts else number

    def status_patch(self, number: int) -> dict[str, Any]:
        """A merge patch with a status, and with a spec that has to be left out of it."""
        spec = {"spec": self.base["spec"]} if "spec" in self.base else {}
        values = {**(self.status_base or {}), "".join(self.status[-1:]): self.status_value(number)}
        return {"status": values, **spec}

    def patch(self, how: str, name: str, app: str, value: int) -> tuple[str, Any, dict[str, str]]:
        """The content type, the body and the query of a patch that sets the label and the value."""
        if how == "json":
            pointer = "".join(f"/{part}" for part in self.where)
            shown = f"{self.texts}{value}" if self.texts else value
            return JSON_PATCH, [
                {"op": "add", "path": "/metadata/labels", "value": {"app": app}},
                {"op": "add", "path": pointer, "value": shown},
            ], {}  # fmt: skip
        top = str(self.where[0])
        tree: dict[str, Any] = {top: copy.deepcopy(self.base[top])}
        self.set(tree, value)
        tree["metadata"] = {"labels": {"app": app}}
        if how == "apply":
            tree |= {"apiVersion": self.api_version, "kind": self.name}
            tree["metadata"]["name"] = name
            return APPLY, tree, {"fieldManager": "applier", "force": "true"}
        return STRATEGIC if how == "strategic" else MERGE, tree, {}

    def seen(self, tree: dict[str, Any]) -> Object:
        """What the model knows of an object as it is shown."""
        meta = tree["metadata"]
        value: Any = tree
        for part in self.where:
            value = value[part]
        status: Any = tree
        for part in self.status:
            status = status.get(part, {}) if isinstance(status, dict) else None
        owners = meta.get("ownerReferences") or [{"uid": ""}]
        number = int(str(value).removeprefix(self.texts))
        return Object(
            labels=meta.get("labels", {}),
            finalizers=meta.get("finalizers", []),
            value=number,
            status=(None if status == {} else status) if self.status else None,
            owner=owners[0]["uid"],
            terminating="deletionTimestamp" in meta,
            uid=meta["uid"],
        )


_POD = {
    "spec": {
        "containers": [{"name": "c", "image": "i:1"}],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
}
_COUNTS = {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0}
KINDS = (
    Kind("v1", "ConfigMap", {"data": {"v": "1"}}, ("data", "v"), texts="t"),
    Kind("v1", "Pod", _POD, ("spec", "containers", 0, "image"), texts="i:",
         status=("status", "reason"), status_texts=True),
    Kind("apps/v1", "DaemonSet", {"spec": daemon_set()["spec"]}, ("spec", "minReadySeconds"),
         status=("status", "numberReady"), status_base=_COUNTS, first_status=0),
    Kind("example.com/v1", "Widget", {"spec": {"size": 1}}, ("spec", "size"),
         status=("status", "ready"), is_built_in=False),
)  # fmt: skip


@asynccontextmanager
async def prepared() -> AsyncIterator[Cluster]:
    """A server with the namespaces and the custom kind."""
    async with custom_cluster() as cluster:
        for namespace in NAMESPACES:
            await cluster.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            await cluster.post(path, {"metadata": {"name": "default"}})
        yield cluster
