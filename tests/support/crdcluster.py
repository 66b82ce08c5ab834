"""A server that looks after CustomResourceDefinitions, and a definition to try it with."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from apicluster import Cluster, api_cluster
from patience import PATIENCE_S

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
NAME = "widgets.example.com"

_SPEC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "colour": {"type": "string", "default": "red", "enum": ["red", "blue"]},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
            },
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def version(name: str = "v1", **more: Any) -> dict[str, Any]:
    """A version with a schema, a status and a scale."""
    status = {"type": "object", "properties": {"ready": {"type": "integer"}}}
    return {
        "name": name,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"},
        },
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": copy.deepcopy(_SPEC_SCHEMA), "status": status},
            }
        },
        **more,
    }


def definition(*versions: dict[str, Any], **names: Any) -> dict[str, Any]:
    """The definition of widgets.example.com."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], **names},
            "versions": list(versions) or [version()],
        },
    }


def widget(name: str = "w", **spec: Any) -> dict[str, Any]:
    """A Widget of size 1."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


@asynccontextmanager
async def custom_cluster(*definitions: dict[str, Any]) -> AsyncIterator[Cluster]:
    """A server with these definitions (default: one) established."""
    async with api_cluster() as cluster:
        background = asyncio.create_task(cluster.api.run())
        try:
            for tree in definitions or (definition(),):
                answer = await cluster.post(DEFINITIONS, tree)
                assert answer.status == 201, answer.tree
                await condition(cluster, "Established", name=tree["metadata"]["name"])
            yield cluster
        finally:
            background.cancel()
            await asyncio.gather(background, return_exceptions=True)


async def condition(
    cluster: Cluster, kind: str, status: str = "True", *, name: str = NAME
) -> dict[str, Any]:
    """Wait until a definition has this condition; the condition."""
    watcher = await cluster.watch(f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name={name}")
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = await watcher.next()
                for one in event["object"]["status"].get("conditions") or ():
                    if (one["type"], one["status"]) == (kind, status):
                        return dict(one)
    finally:
        await watcher.close()


async def gone(cluster: Cluster, path: str) -> None:
    """Wait until a GET finds nothing."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if (await cluster.get(path)).status == 404:
                return
            await asyncio.sleep(0.01)
