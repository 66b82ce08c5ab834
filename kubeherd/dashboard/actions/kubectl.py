"""What kubectl does, by the same requests: cordon, drain, set image, rollout undo and so on.

Kubernetes v1.36, kubectl/pkg: polymorphichelpers, drain, cmd/set.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from kubeherd.checks.objects import at, controller_of, items, key, name_of, part, text
from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import ApiError, NotFound, TooManyRequests
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.client import ApiClient, PatchKind
from kubeherd.cluster.client.transport import error_of
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.dashboard.actions.asked import Kind, Workload
from kubeherd.dashboard.diff import template
from kubeherd.dashboard.web.answers import Refused
from kubeherd.herd.model import Revision

_RESOURCES: Final = {
    Kind.DAEMONSET: kinds.DAEMONSETS,
    Kind.DEPLOYMENT: kinds.DEPLOYMENTS,
    Kind.STATEFULSET: kinds.STATEFULSETS,
}
_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
_MIRROR: Final = "kubernetes.io/config.mirror"
_NOT_ROLLED_BACK: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
)
"""Annotations of a Deployment that are not those of a revision."""
_FINISHED: Final = ("Succeeded", "Failed")
_EVICT_AGAIN_S: Final = 1.0
_DRAIN_S: Final = 30.0
"""So long evictions are tried again that a budget refuses."""
_MAX_NAMED: Final = 3


class Kubectl:
    """Acts on one cluster. ApiError, TransportError; Refused for what kubectl refuses."""

    def __init__(self, client: ApiClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def cordon(self, nodes: Sequence[str], *, closed: bool) -> str:
        """Close nodes for new pods, or open them."""
        for node in nodes:
            await self._merge(kinds.NODES, node, "", {"spec": {"unschedulable": closed or None}})
        return f"{'cordoned' if closed else 'uncordoned'} {', '.join(nodes)}"

    async def drain(self, nodes: Sequence[str]) -> str:
        """Close nodes and evict their pods but those of DaemonSets; what a budget holds back is
        tried again for a while."""
        await self.cordon(nodes, closed=True)
        pods = [pod for node in nodes for pod in await self._pods_of(node)]
        evicted = [pod for pod in pods if _goes(pod)]
        alone = [pod for pod in evicted if not (controller_of(pod) or _finished(pod))]
        if alone:
            raise Refused(409, f"no controller would replace {_some(alone)}: they stay")
        left = evicted
        until = asyncio.get_running_loop().time() + _DRAIN_S
        while left := [pod for pod in left if not await self._evict(pod)]:
            if asyncio.get_running_loop().time() > until:
                raise Refused(409, f"a disruption budget holds back {_some(left)}")
            await asyncio.sleep(_EVICT_AGAIN_S)
        return f"{len(evicted)} pods evicted from {', '.join(nodes)}"

    async def delete_nodes(self, nodes: Sequence[str], *, gone: bool = False) -> str:
        """Delete Nodes; that they are `gone` already is no error then."""
        for node in nodes:
            try:
                await self._client.delete(kinds.NODES, node)
            except NotFound:
                if not gone:
                    raise
        return f"deleted {', '.join(nodes)}"

    async def set_image(self, of: Workload, container: str, image: str) -> str:
        """Give a container another image; "" for all."""
        tree = await self._get(of)
        spec: dict[str, Any] = {}
        for group in ("containers", "initContainers"):
            found = [text(one, "name") for one in items(tree, "spec", "template", "spec", group)]
            chosen = [name for name in found if container in ("", name)]
            if chosen:
                spec[group] = [{"name": name, "image": image} for name in chosen]
        if not spec:
            raise Refused(404, f'{of.key} has no container "{container}"')
        patch = {"spec": {"template": {"spec": spec}}}
        await self._client.patch(_RESOURCES[of.kind], of.name, patch, of.namespace)
        return f"image of {of.key} is {image}"

    async def restart(self, of: Workload) -> str:
        """Replace all pods, one after the other."""
        if of.kind is Kind.DEPLOYMENT and at(await self._get(of), "spec", "paused") is True:
            raise Refused(409, "can't restart paused deployment (resume it first)")
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        patch = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED: now}}}}}
        await self._client.patch(_RESOURCES[of.kind], of.name, patch, of.namespace)
        return f"{of.key} restarts"

    async def pause(self, of: Workload, *, paused: bool) -> str:
        """Pause a Deployment, or let it go on."""
        if (at(await self._get(of), "spec", "paused") is True) == paused:
            raise Refused(409, f"{of.key} is {'already' if paused else 'not'} paused")
        patch = {"spec": {"paused": paused}}
        await self._client.patch(_RESOURCES[of.kind], of.name, patch, of.namespace)
        return f"{of.key} {'is paused' if paused else 'goes on'}"

    async def roll_back(self, of: Workload, to: Revision) -> str:
        """Make an earlier revision the wanted one."""
        tree = await self._get(of)
        deployed = of.kind is Kind.DEPLOYMENT
        if deployed and at(tree, "spec", "paused") is True:
            raise Refused(409, "you cannot roll back a paused deployment; resume it first")
        resource = kinds.REPLICASETS if deployed else kinds.CONTROLLERREVISIONS
        kept = await self._client.request("GET", resource.path(of.namespace, to.object))
        if template(kept) == template(tree):
            return f"{of.key} is at revision {to.number} already"
        if deployed:
            await self._client.patch(
                kinds.DEPLOYMENTS,
                of.name,
                _to_replicaset(tree, kept),
                of.namespace,
                kind=PatchKind.JSON,
            )
        else:
            data = dict(part(kept, "data"))
            await self._client.patch(_RESOURCES[of.kind], of.name, data, of.namespace)
        return f"{of.key} rolls back to revision {to.number}"

    async def _get(self, of: Workload) -> JsonObject:
        return await self._client.request("GET", _RESOURCES[of.kind].path(of.namespace, of.name))

    async def _merge(
        self, resource: Resource, name: str, namespace: str, patch: JsonObject
    ) -> JsonObject:
        return await self._client.patch(resource, name, patch, namespace, kind=PatchKind.MERGE)

    async def _pods_of(self, node: str) -> list[JsonObject]:
        into: type[JsonObject] = dict
        listed = await self._client.list(kinds.PODS, into, field_selector=f"spec.nodeName={node}")
        return listed.items

    async def _evict(self, pod: JsonObject) -> bool:
        """Whether it goes; a budget may refuse that for now."""
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        body, content_type = self._client.encode(eviction)
        path = kinds.PODS.path(namespace, name, "eviction")
        # Not by the client, which waits as long as the server advises before it asks again.
        answer = await self._client.transport.request(
            "POST", path, body=body, content_type=content_type
        )
        if answer.status < 300:
            return True
        error: ApiError = error_of(answer)
        if isinstance(error, TooManyRequests):
            return False
        if isinstance(error, NotFound):
            return True
        raise error


def _to_replicaset(deployment: JsonObject, replicaset: JsonObject) -> list[JsonObject]:
    now, then = (
        part(deployment, "metadata", "annotations"),
        part(replicaset, "metadata", "annotations"),
    )
    annotations = {name: now[name] for name in _NOT_ROLLED_BACK if name in now}
    annotations |= {name: then[name] for name in then if name not in _NOT_ROLLED_BACK}
    return [
        {"op": "replace", "path": "/spec/template", "value": template(replicaset)},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]


def _goes(pod: JsonObject) -> bool:
    """Whether kubectl drain --ignore-daemonsets evicts it."""
    if _MIRROR in part(pod, "metadata", "annotations"):
        return False
    return _finished(pod) or controller_of(pod).get("kind") != "DaemonSet"


def _finished(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") in _FINISHED


def _some(pods: Sequence[JsonObject]) -> str:
    names = [key(text(pod, "metadata", "namespace"), name_of(pod)) for pod in pods]
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{', '.join(names[:_MAX_NAMED])}{more}"
