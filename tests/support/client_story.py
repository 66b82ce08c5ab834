"""What a program does with a cluster, told once for all clients: `story(client, webhook)`.

Create, read, list, watch, replace, patch, apply, evict, define a resource and use it, be refused by
a webhook. A client is an adapter of `StoryClient` (story_clients.py) that speaks in plain objects
and works in the namespace that it was made for.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import pytest

Tree = dict[str, Any]
Labels = dict[str, str]
TOLD: Labels = {"story": "told"}


class Kind(NamedTuple):
    """A resource; `snake` is what generated clients call it, "" for a custom resource."""

    group: str
    version: str
    kind: str
    plural: str
    snake: str = ""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def named(self, name: str, **fields: Any) -> Tree:
        """An object of this kind with the labels `TOLD`."""
        metadata = {"name": name, "labels": TOLD}
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, **fields}


CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", "config_map")
PODS = Kind("", "v1", "Pod", "pods", "pod")
BUDGETS = Kind(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pod_disruption_budget"
)
DEFINITIONS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "custom_resource_definition",
    namespaced=False,
)
WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    "validating_webhook_configuration",
    namespaced=False,
)


class Refused(Exception):
    """The server's answer to a request that it did not fulfil: the code and the whole text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class StoryClient(Protocol):
    """A client library in one namespace. Every method raises `Refused`."""

    namespace: str

    async def create(self, kind: Kind, tree: Tree) -> Tree: ...
    async def get(self, kind: Kind, name: str) -> Tree: ...
    async def names(self, kind: Kind, labels: Labels) -> list[str]: ...
    async def replace(self, kind: Kind, tree: Tree) -> Tree: ...
    async def patch(self, kind: Kind, name: str, patch: Tree) -> Tree: ...
    async def apply(self, kind: Kind, tree: Tree, manager: str, *, force: bool) -> Tree: ...
    async def delete(self, kind: Kind, name: str) -> None: ...
    async def evict(self, pod: str) -> None: ...
    def watch(
        self, kind: Kind, labels: Labels, revision: str
    ) -> AsyncGenerator[tuple[str, Tree]]: ...


class Webhook(NamedTuple):
    """A server that refuses ConfigMaps with the key `forbidden`, and whom to trust for it."""

    url: str
    ca_bundle: str


async def story(client: StoryClient, webhook: Webhook) -> None:
    """The whole story; fails where the cluster does not answer as Kubernetes."""
    async with asyncio.timeout(60):
        await objects(client)
        await eviction(client)
        await custom_resource(client)
        await refusal_by_webhook(client, webhook)


async def objects(client: StoryClient) -> None:
    first = await client.create(CONFIG_MAPS, CONFIG_MAPS.named("a", data={"k": "1"}))
    revision = first["metadata"]["resourceVersion"]
    watching = asyncio.create_task(changes(client, revision, until="DELETED"))

    with refused(409, "AlreadyExists"):
        await client.create(CONFIG_MAPS, CONFIG_MAPS.named("a"))
    assert (await client.get(CONFIG_MAPS, "a"))["data"] == {"k": "1"}
    assert await client.names(CONFIG_MAPS, TOLD) == ["a"]
    assert await client.names(CONFIG_MAPS, {"story": "untold"}) == []
    with refused(404, 'configmaps \\"b\\" not found'):
        await client.get(CONFIG_MAPS, "b")

    second = await client.replace(CONFIG_MAPS, {**first, "data": {"k": "2"}})
    assert second["data"] == {"k": "2"}
    with refused(409, "the object has been modified"):
        await client.replace(CONFIG_MAPS, {**first, "data": {"k": "never"}})
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"k": None, "l": "3"}})
    assert patched["data"] == {"l": "3"}

    mine = CONFIG_MAPS.named("a", data={"m": "4"})
    applied = await client.apply(CONFIG_MAPS, mine, "narrator", force=False)
    assert applied["data"] == {"l": "3", "m": "4"}
    other = CONFIG_MAPS.named("a", data={"m": "5"})
    with refused(409, 'conflict with \\"narrator\\": .data.m'):
        await client.apply(CONFIG_MAPS, other, "hero", force=False)
    taken = await client.apply(CONFIG_MAPS, other, "hero", force=True)
    assert taken["data"] == {"l": "3", "m": "5"}
    left = await client.apply(CONFIG_MAPS, CONFIG_MAPS.named("a"), "hero", force=False)
    assert left["data"] == {"l": "3"}

    await client.delete(CONFIG_MAPS, "a")
    assert await watching == [
        ("MODIFIED", {"k": "2"}),
        ("MODIFIED", {"l": "3"}),
        ("MODIFIED", {"l": "3", "m": "4"}),
        ("MODIFIED", {"l": "3", "m": "5"}),
        ("MODIFIED", {"l": "3"}),
        ("DELETED", {"l": "3"}),
    ]


async def changes(client: StoryClient, revision: str, until: str) -> list[tuple[str, Tree]]:
    """What a watch tells since this revision: type and data, up to the first of type `until`."""
    told = list[tuple[str, Tree]]()
    async with aclosing(client.watch(CONFIG_MAPS, TOLD, revision)) as events:
        async for kind, tree in events:
            told.append((kind, tree["data"]))
            if kind == until:
                break
    return told


async def eviction(client: StoryClient) -> None:
    containers = [{"name": "main", "image": "app:1"}]
    spec = {"containers": containers, "terminationGracePeriodSeconds": 0}
    await client.create(PODS, PODS.named("p", spec=spec))
    pod = await until_status(client, PODS, "p", "Ready")
    assert (pod["status"]["phase"], pod["spec"]["nodeName"]) == ("Running", "node-0")

    guard = {"minAvailable": 1, "selector": {"matchLabels": TOLD}}
    await client.create(BUDGETS, BUDGETS.named("guard", spec=guard))
    with refused(429, "disruption budget"):
        await client.evict("p")
    await client.delete(BUDGETS, "guard")
    await client.evict("p")
    await until_gone(client, PODS, "p")
    with refused(404, 'pods \\"p\\" not found'):
        await client.evict("p")


async def custom_resource(client: StoryClient) -> None:
    group = f"{client.namespace}.example.com"
    tales = Kind(group, "v1", "Tale", "tales")
    definition = DEFINITIONS.named(f"tales.{group}", spec=definition_spec(tales))
    await client.create(DEFINITIONS, definition)
    await until_status(client, DEFINITIONS, f"tales.{group}", "Established")

    created = await client.create(tales, tales.named("t", spec={"pages": 7}))
    assert created["spec"] == {"pages": 7, "language": "en"}
    with refused(422, "spec.pages"):
        await client.create(tales, tales.named("u", spec={"pages": "many"}))
    patched = await client.patch(tales, "t", {"spec": {"pages": 8}})
    assert patched["metadata"]["generation"] == 2
    applied = await client.apply(
        tales, tales.named("t", spec={"language": "la"}), "narrator", force=True
    )
    assert applied["spec"] == {"pages": 8, "language": "la"}
    replaced = await client.replace(tales, {**applied, "spec": {"pages": 9}})
    assert replaced["spec"] == {"pages": 9, "language": "en"}
    assert await client.names(tales, TOLD) == ["t"]
    await client.delete(tales, "t")
    await until_gone(client, tales, "t")
    await client.delete(DEFINITIONS, f"tales.{group}")
    await until_gone(client, DEFINITIONS, f"tales.{group}")


def definition_spec(kind: Kind) -> Tree:
    """A definition with a required number and a text with a default."""
    properties = {
        "pages": {"type": "integer", "minimum": 1},
        "language": {"type": "string", "default": "en"},
    }
    spec = {"type": "object", "properties": properties, "required": ["pages"]}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": kind.plural, "singular": kind.kind.lower(), "kind": kind.kind}
    return {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]}


async def refusal_by_webhook(client: StoryClient, webhook: Webhook) -> None:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    }
    hook = {
        "name": "censor.example.com",
        "clientConfig": {"url": webhook.url, "caBundle": webhook.ca_bundle},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": client.namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    name = f"censor-{client.namespace}"
    await client.create(WEBHOOKS, WEBHOOKS.named(name, webhooks=[hook]))
    await client.create(CONFIG_MAPS, CONFIG_MAPS.named("tame", data={"k": "v"}))
    with refused(403, 'webhook \\"censor.example.com\\" denied the request: not that word'):
        await client.create(CONFIG_MAPS, CONFIG_MAPS.named("wild", data={"forbidden": "x"}))
    await client.delete(WEBHOOKS, name)
    await client.create(CONFIG_MAPS, CONFIG_MAPS.named("wild", data={"forbidden": "x"}))


def refused(code: int, words: str) -> Any:
    """Expects `Refused` with this code; quotation marks are as in the JSON of the answer."""
    return pytest.raises(Refused, check=lambda error: error.code == code and words in error.text)


async def until_status(client: StoryClient, kind: Kind, name: str, condition: str) -> Tree:
    """The object as soon as this condition of it is True."""
    while True:
        tree = await client.get(kind, name)
        conditions = (tree.get("status") or {}).get("conditions") or ()
        if any(one["type"] == condition and one["status"] == "True" for one in conditions):
            return tree
        await asyncio.sleep(0.05)


async def until_gone(client: StoryClient, kind: Kind, name: str) -> None:
    """Return when there is no such object any more."""
    while True:
        try:
            await client.get(kind, name)
        except Refused as error:
            if error.code == 404:
                return
            raise
        await asyncio.sleep(0.05)
