"""What upstream's e2e framework asks of a cluster before, during and after every spec.

The specs in `test_e2e_daemonset_live.py` and `test_e2e_controllerrevision_live.py` are our own
versions of upstream's: same requests, same expectations, with a foreign client whose objects go
through typed models as Go's do (an unknown or lost field would show). One cluster serves all of
them, as in a run of upstream's suite; every spec has a namespace of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from kubernetes_asyncio import client
from kubernetes_asyncio.client import ApiException
from patience import PATIENCE_S

SPEED = 10.0
POLL_S = 0.1
NAME = "daemon-set"
NAME_LABEL = "daemonset-name"
COLOR_LABEL = "daemonset-color"
HASH = "controller-revision-hash"
IMAGE = "registry.k8s.io/e2e-test-images/httpd:2.4.38-4"
NEW_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.59"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

T = TypeVar("T")
Pods = list[client.V1Pod]


async def eventually(
    condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = PATIENCE_S
) -> None:
    """Poll at once and then again and again; an exception of the condition ends the wait."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(POLL_S)


def patching(call: Callable[..., Awaitable[T]], kind: str) -> Callable[..., Awaitable[T]]:
    """A call of the client that patches, with this kind of patch: its types do not tell that the
    content type can be chosen."""
    return partial(call, _content_type=kind)


class Framework:
    """A namespace as the framework makes it, and the clients of a spec."""

    def __init__(self, api: client.ApiClient) -> None:
        self.api = api
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self.ns = ""

    async def before_each(self, spec: str) -> None:
        """A namespace with a generated name and all that pods need in it."""
        await eventually(self._all_nodes_schedulable, "all nodes Ready and untainted")
        body = client.V1Namespace(
            metadata=client.V1ObjectMeta(
                generate_name=f"{spec}-",
                labels={
                    "e2e-framework": spec,
                    "e2e-run": "6ad1a1f6",
                    "pod-security.kubernetes.io/enforce": "baseline",
                },
            )
        )
        created = await self.core.create_namespace(body)
        self.ns = created.metadata.name
        assert self.ns.startswith(f"{spec}-")
        await eventually(self._has_default_service_account, "ServiceAccount default")
        await eventually(self._has_root_ca, "ConfigMap kube-root-ca.crt")
        annotations = dict.fromkeys(("scheduler.alpha.kubernetes.io/node-selector",), "")
        patch = {"metadata": {"annotations": annotations}}
        await patching(self.core.patch_namespace, STRATEGIC)(self.ns, patch)
        await self.clear_node_labels()

    async def after_each(self) -> None:
        """Delete the DaemonSets, wait for their pods, then the namespace with all that is in it."""
        for daemonset in (await self.apps.list_namespaced_daemon_set(self.ns)).items:
            options = client.V1DeleteOptions(propagation_policy="Background")
            await self.apps.delete_namespaced_daemon_set(
                daemonset.metadata.name, self.ns, body=options
            )
            gone = partial(self.runs_on, [], daemonset)
            await eventually(gone, "the daemon's pods are gone")
        await self.clear_node_labels()
        await self.core.list_namespaced_event(self.ns)
        for pod in (await self.core.list_namespaced_pod(self.ns)).items:
            if pod.spec.node_name and pod.status.phase == "Running":
                await self._logs_of(pod)
        await self.core.delete_namespace(self.ns, body=client.V1DeleteOptions())
        await eventually(self._namespace_gone, "the namespace is gone")

    async def _logs_of(self, pod: client.V1Pod) -> None:
        try:
            await self.core.read_namespaced_pod_log(pod.metadata.name, self.ns, container="app")
        except ApiException as error:
            if error.status != 404:  # gone meanwhile
                raise

    async def _all_nodes_schedulable(self) -> bool:
        nodes = await self.schedulable_nodes()
        return bool(nodes) and len(nodes) == len((await self.core.list_node()).items)

    async def _has_default_service_account(self) -> bool:
        listed = await self.core.list_namespaced_service_account(
            self.ns, field_selector="metadata.name=default"
        )
        return bool(listed.items)

    async def _has_root_ca(self) -> bool:
        listed = await self.core.list_namespaced_config_map(
            self.ns, field_selector="metadata.name=kube-root-ca.crt"
        )
        return bool(listed.items) and "ca.crt" in listed.items[0].data

    async def _namespace_gone(self) -> bool:
        try:
            await self.core.read_namespace(self.ns)
        except ApiException as error:
            return bool(error.status == 404)
        return False

    # --- nodes ---

    async def schedulable_nodes(self) -> list[client.V1Node]:
        """Nodes that are Ready, not cordoned and without taints."""
        listed = await self.core.list_node(resource_version="0")
        return [
            node
            for node in listed.items
            if not node.spec.unschedulable
            and not node.spec.taints
            and any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
        ]

    async def set_node_labels(self, name: str, labels: dict[str, str]) -> client.V1Node:
        """Replace the labels of these tests on a node: GET, PUT, again on conflict."""
        while True:
            node = await self.core.read_node(name)
            others = {
                key: value
                for key, value in node.metadata.labels.items()
                if not key.startswith("daemonset-")
            }
            if len(others) == len(node.metadata.labels) and not labels:
                return node
            node.metadata.labels = {**others, **labels}
            try:
                return await self.core.replace_node(name, node)
            except ApiException as error:
                if error.status != 409:
                    raise

    async def clear_node_labels(self) -> None:
        for node in await self.schedulable_nodes():
            await self.set_node_labels(node.metadata.name, {})

    # --- pods ---

    def available(self, pod: client.V1Pod, min_ready_s: int) -> bool:
        """Whether the pod is Ready for so long (nominal seconds)."""
        for condition in pod.status.conditions or ():
            if condition.type == "Ready" and condition.status == "True":
                age = datetime.now(UTC) - condition.last_transition_time
                return min_ready_s == 0 or age.total_seconds() * SPEED >= min_ready_s
        return False

    async def pods_of(self, daemonset: client.V1DaemonSet) -> Pods:
        """All pods that the DaemonSet controls, terminating ones as well."""
        listed = await self.core.list_namespaced_pod(self.ns)
        return [pod for pod in listed.items if controlled_by(pod, daemonset)]

    async def runs_on(self, nodes: list[str], daemonset: client.V1DaemonSet) -> bool:
        """Whether exactly these nodes have an available pod, one each."""
        found = [
            pod.spec.node_name
            for pod in await self.pods_of(daemonset)
            if pod.metadata.deletion_timestamp is None
            and self.available(pod, daemonset.spec.min_ready_seconds or 0)
        ]
        return sorted(found) == sorted(nodes)

    async def runs_everywhere(self, daemonset: client.V1DaemonSet) -> bool:
        nodes = [node.metadata.name for node in await self.schedulable_nodes()]
        return await self.runs_on(nodes, daemonset)

    async def until_running(self, daemonset: client.V1DaemonSet) -> None:
        """Wait for a pod on every node; then the status must say so."""
        await eventually(lambda: self.runs_everywhere(daemonset), "a daemon pod on every node")

    async def check_status(self) -> None:
        """The status has as many ready as desired, within a moment."""

        async def ready() -> bool:
            status = (await self.apps.read_namespaced_daemon_set(NAME, self.ns)).status
            return bool(
                status.desired_number_scheduled
                == status.current_number_scheduled
                == status.number_ready
            )

        await eventually(ready, "the status counts every pod as ready")

    async def updated_to(self, daemonset: client.V1DaemonSet, image: str, budget: int) -> bool:
        """Whether all nodes run this image; never more than `budget` pods may be unavailable."""
        pods = [p for p in await self.pods_of(daemonset) if p.metadata.deletion_timestamp is None]
        unavailable = [p for p in pods if not self.available(p, 0)]
        assert len(unavailable) <= budget, [p.metadata.name for p in unavailable]
        updated = {p.spec.node_name for p in pods if p.spec.containers[0].image == image}
        return all(n.metadata.name in updated for n in await self.schedulable_nodes())

    async def check_hashes(self, wanted: str) -> None:
        """Every pod that stays carries this hash."""
        selector = f"{NAME_LABEL}={NAME}"
        listed = await self.core.list_namespaced_pod(self.ns, label_selector=selector)
        staying = [pod for pod in listed.items if pod.metadata.deletion_timestamp is None]
        assert staying
        assert {pod.metadata.labels[HASH] for pod in staying} == {wanted}

    # --- revisions ---

    async def current_revision(
        self, daemonset: client.V1DaemonSet, of: int
    ) -> client.V1ControllerRevision:
        """The one revision whose data is the DaemonSet's template, when there are `of` of them."""
        selector = f"{NAME_LABEL}={NAME}"

        async def revisions() -> list[Any]:
            listed = await self.apps.list_namespaced_controller_revision(
                self.ns, label_selector=selector
            )
            return list(listed.items)

        async def complete() -> bool:
            return len(await revisions()) == of

        await eventually(complete, f"{of} revisions")
        template = self.api.sanitize_for_serialization(daemonset.spec.template)
        matching = [
            revision
            for revision in await revisions()
            if without_empty(revision.data["spec"]["template"])
            == {**without_empty(template), "$patch": "replace"}
        ]
        assert len(matching) == 1
        found: client.V1ControllerRevision = matching[0]
        return found


def without_empty(tree: Any) -> Any:
    """A tree as Go's typed objects have it: empty maps and nulls mean absent."""
    if isinstance(tree, dict):
        return {k: without_empty(v) for k, v in tree.items() if v is not None}
    if isinstance(tree, list):
        return [without_empty(item) for item in tree]
    return tree


def controlled_by(pod: client.V1Pod, owner: client.V1DaemonSet) -> bool:
    """Whether the pod's controller reference has the owner's UID."""
    references = pod.metadata.owner_references or ()
    return any(r.controller and r.uid == owner.metadata.uid for r in references)


def new_daemonset(*, labelled: bool = False, **spec: Any) -> client.V1DaemonSet:
    """The DaemonSet of the specs: one container `app` with a port."""
    labels = {NAME_LABEL: NAME}
    container = client.V1Container(
        name="app", image=IMAGE, ports=[client.V1ContainerPort(container_port=9376)]
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(
            containers=[container], security_context=client.V1PodSecurityContext()
        ),
    )
    return client.V1DaemonSet(
        metadata=client.V1ObjectMeta(name=NAME, labels=labels if labelled else None),
        spec=client.V1DaemonSetSpec(
            selector=client.V1LabelSelector(match_labels=labels), template=template, **spec
        ),
    )


def image_patch(image: str) -> dict[str, Any]:
    """A strategic merge patch of the container's image."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
