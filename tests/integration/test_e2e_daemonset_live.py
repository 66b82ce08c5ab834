"""Our versions of upstream's e2e specs of DaemonSets, against a cluster of real processes."""

import asyncio
import random
import time
from collections import Counter

import pytest
from e2e_framework import (
    COLOR_LABEL,
    HASH,
    IMAGE,
    MERGE,
    NAME,
    NAME_LABEL,
    NEW_IMAGE,
    SPEED,
    STRATEGIC,
    Framework,
    eventually,
    image_patch,
    new_daemonset,
    patching,
)
from kubernetes_asyncio import client, watch
from kubernetes_asyncio.client import ApiException
from patience import PATIENCE_S

pytestmark = pytest.mark.integration

SURGE_OVERLAP_S = 60.0


async def patch(f: Framework, body: object) -> client.V1DaemonSet:
    return await patching(f.apps.patch_namespaced_daemon_set, STRATEGIC)(NAME, f.ns, body)


async def test_run_and_stop_simple_daemon(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset())
    await f.until_running(daemonset)
    await f.check_status()
    stopped = (await f.pods_of(daemonset))[0]
    await f.core.delete_namespaced_pod(stopped.metadata.name, f.ns)
    await f.until_running(daemonset)
    assert stopped.metadata.uid not in {
        p.metadata.uid for p in await f.pods_of(daemonset) if p.metadata.deletion_timestamp is None
    }


async def test_run_and_stop_complex_daemon(f: Framework) -> None:
    wanted = new_daemonset()
    wanted.spec.template.spec.node_selector = {COLOR_LABEL: "blue"}
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, wanted)
    await eventually(lambda: f.runs_on([], daemonset), "no daemon pods anywhere")
    node = (await f.schedulable_nodes())[0].metadata.name
    await f.set_node_labels(node, {COLOR_LABEL: "blue"})
    await eventually(lambda: f.runs_on([node], daemonset), "the pod on the blue node")
    await f.check_status()
    await f.set_node_labels(node, {COLOR_LABEL: "green"})
    await eventually(lambda: f.runs_on([], daemonset), "no pod on the green node")
    change = {
        "spec": {
            "template": {"spec": {"nodeSelector": {COLOR_LABEL: "green"}}},
            "updateStrategy": {"type": "RollingUpdate"},
        }
    }
    daemonset = await patch(f, change)
    await eventually(lambda: f.runs_on([node], daemonset), "the pod on the green node")
    await f.check_status()


async def test_run_and_stop_complex_daemon_with_node_affinity(f: Framework) -> None:
    wanted = new_daemonset()
    blue = client.V1NodeSelectorRequirement(key=COLOR_LABEL, operator="In", values=["blue"])
    term = client.V1NodeSelectorTerm(match_expressions=[blue])
    wanted.spec.template.spec.affinity = client.V1Affinity(
        node_affinity=client.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=client.V1NodeSelector(
                node_selector_terms=[term]
            )
        )
    )
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, wanted)
    await eventually(lambda: f.runs_on([], daemonset), "no daemon pods anywhere")
    node = (await f.schedulable_nodes())[0].metadata.name
    await f.set_node_labels(node, {COLOR_LABEL: "blue"})
    await eventually(lambda: f.runs_on([node], daemonset), "the pod on the blue node")
    await f.check_status()
    await f.set_node_labels(node, {})
    await eventually(lambda: f.runs_on([], daemonset), "no pod without the label")


async def test_retry_creating_failed_daemon_pods(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset())
    await f.until_running(daemonset)
    await f.check_status()
    failed = (await f.pods_of(daemonset))[0]
    failed.metadata.resource_version = ""
    failed.status.phase = "Failed"
    await f.core.replace_namespaced_pod_status(failed.metadata.name, f.ns, failed)
    await f.until_running(daemonset)

    async def gone() -> bool:
        try:
            await f.core.read_namespaced_pod(failed.metadata.name, f.ns)
        except ApiException as error:
            return bool(error.status == 404)
        return False

    await eventually(gone, "the failed pod is gone")


async def test_do_not_update_pods_with_on_delete(f: Framework) -> None:
    strategy = client.V1DaemonSetUpdateStrategy(type="OnDelete")
    daemonset = await f.apps.create_namespaced_daemon_set(
        f.ns, new_daemonset(update_strategy=strategy)
    )
    await f.until_running(daemonset)
    daemonset = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
    first = await f.current_revision(daemonset, of=1)
    assert first.revision == 1
    await f.check_hashes(first.metadata.labels[HASH])
    daemonset = await patch(f, image_patch(NEW_IMAGE))
    assert await f.updated_to(daemonset, IMAGE, 0)
    await f.until_running(daemonset)
    current = await f.current_revision(daemonset, of=2)
    assert current.revision == 2
    assert current.metadata.labels[HASH] != first.metadata.labels[HASH]
    await f.check_hashes(first.metadata.labels[HASH])


async def test_update_pods_with_rolling_update(f: Framework) -> None:
    strategy = client.V1DaemonSetUpdateStrategy(type="RollingUpdate")
    daemonset = await f.apps.create_namespaced_daemon_set(
        f.ns, new_daemonset(update_strategy=strategy)
    )
    await f.until_running(daemonset)
    daemonset = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
    first = await f.current_revision(daemonset, of=1)
    assert first.revision == 1
    await f.check_hashes(first.metadata.labels[HASH])
    daemonset = await patch(f, image_patch(NEW_IMAGE))
    await eventually(lambda: f.updated_to(daemonset, NEW_IMAGE, 1), "the new image everywhere")
    await f.until_running(daemonset)
    current = await f.current_revision(daemonset, of=2)
    assert current.revision == 2
    await f.check_hashes(current.metadata.labels[HASH])


async def test_roll_back_without_unnecessary_restarts(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset())
    await f.until_running(daemonset)

    async def replace_image(image: str) -> client.V1DaemonSet:
        while True:
            live = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
            live.spec.template.spec.containers[0].image = image
            try:
                return await f.apps.replace_namespaced_daemon_set(NAME, f.ns, live)
            except ApiException as error:
                if error.status != 409:
                    raise

    await replace_image("foo:non-existent")

    async def begun() -> bool:
        pods = await f.pods_of(daemonset)
        return any(p.spec.containers[0].image == "foo:non-existent" for p in pods)

    await eventually(begun, "a pod with the image that does not exist")
    existing = {
        p.metadata.name for p in await f.pods_of(daemonset) if p.spec.containers[0].image == IMAGE
    }
    assert len(existing) == 2
    daemonset = await replace_image(IMAGE)
    await eventually(lambda: f.updated_to(daemonset, IMAGE, 1), "the old image everywhere")
    assert existing <= {p.metadata.name for p in await f.pods_of(daemonset)}


def surging_daemonset() -> client.V1DaemonSet:
    """Old and new overlap: 15 s to stop, 7 s until probed, ready for 10 s before the old goes."""
    strategy = client.V1DaemonSetUpdateStrategy(
        type="RollingUpdate",
        rolling_update=client.V1RollingUpdateDaemonSet(max_unavailable=0, max_surge="20%"),
    )
    wanted = new_daemonset(update_strategy=strategy, min_ready_seconds=10)
    container = wanted.spec.template.spec.containers[0]
    container.env = [client.V1EnvVar(name="VERSION", value="1")]
    container.lifecycle = client.V1Lifecycle(
        pre_stop=client.V1LifecycleHandler(
            _exec=client.V1ExecAction(command=["/bin/sh", "-c", "sleep 15"])
        )
    )
    check = 'touch /var/tmp/ready; [[ "$( cat /var/tmp/ready )" == "" ]]'
    container.readiness_probe = client.V1Probe(
        _exec=client.V1ExecAction(command=["/bin/sh", "-ec", check]),
        initial_delay_seconds=7,
        period_seconds=3,
        success_threshold=1,
        failure_threshold=1,
    )
    return wanted


class SurgeWatch:
    """The invariants of a surging rollout, looked at again and again."""

    def __init__(self, f: Framework, daemonset: client.V1DaemonSet) -> None:
        self._f = f
        self._daemonset = daemonset
        self._seen_beside_new: dict[str, float] = {}
        self.overlapped = False
        self.deliberate: set[str] = set()

    async def look(self) -> bool:
        """Check; True when every node has the new version only, and it is available."""
        pods = await self._f.pods_of(self._daemonset)
        staying: Counter[tuple[str, str]] = Counter()
        terminating: Counter[str] = Counter()
        new_down = old_down = deliberate = 0
        for pod in pods:
            version = pod.spec.containers[0].env[0].value
            ending = pod.metadata.deletion_timestamp is not None
            down = ending or not self._f.available(pod, 10)
            if not ending:
                staying[pod.spec.node_name, version] += 1
            elif pod.metadata.uid not in self.deliberate:
                terminating[pod.spec.node_name] += 1
            if version == "2":
                new_down += down
                deliberate += down and pod.metadata.uid in self.deliberate
            else:
                old_down += down
        nodes = {node for node, _ in staying}
        without_old = sum(staying[node, "1"] == 0 for node in nodes)
        assert not any(n > 1 for n in terminating.values()), terminating
        assert not any(n > 1 for n in staying.values()), staying
        assert new_down <= 1 + old_down + deliberate + without_old
        self._overlaps(pods, staying)
        return (
            all(staying[n.metadata.name, "2"] for n in await self._f.schedulable_nodes())
            and not any(version == "1" for _, version in staying)
            and not terminating
            and new_down == 0
        )

    def _overlaps(self, pods: list[client.V1Pod], staying: Counter[tuple[str, str]]) -> None:
        now = time.monotonic()
        beside: dict[str, float] = {}
        for pod in pods:
            old = pod.spec.containers[0].env[0].value == "1"
            ending = pod.metadata.deletion_timestamp is not None
            if old and not ending and staying[pod.spec.node_name, "2"]:
                uid = pod.metadata.uid
                beside[uid] = self._seen_beside_new.get(uid, now)
        self._seen_beside_new = beside
        self.overlapped = self.overlapped or bool(beside)
        for first_seen in beside.values():
            assert (now - first_seen) * SPEED <= SURGE_OVERLAP_S


async def test_surge_pods_onto_nodes(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, surging_daemonset())
    await f.until_running(daemonset)
    daemonset = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
    first = await f.current_revision(daemonset, of=1)
    await f.check_hashes(first.metadata.labels[HASH])
    env = [{"name": "VERSION", "value": "2"}]
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": env}]}}}}
    daemonset = await patch(f, change)
    watching = SurgeWatch(f, daemonset)
    chance = random.Random(1)
    deadline = time.monotonic() + PATIENCE_S
    while not await watching.look():
        assert time.monotonic() < deadline
        if len(watching.deliberate) < 2 and watching.overlapped and chance.random() < 0.1:
            pod = chance.choice(await f.pods_of(daemonset))
            if pod.metadata.deletion_timestamp is None:
                await f.core.delete_namespaced_pod(pod.metadata.name, f.ns)
                watching.deliberate.add(pod.metadata.uid)
        await asyncio.sleep(0.05)
    assert watching.overlapped
    await f.until_running(daemonset)
    current = await f.current_revision(daemonset, of=2)
    assert current.revision == 2
    await f.check_hashes(current.metadata.labels[HASH])


async def test_list_and_delete_a_collection(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset(labelled=True))
    await f.until_running(daemonset)
    await f.check_status()
    selector = f"{NAME_LABEL}={NAME}"
    listed = await f.apps.list_daemon_set_for_all_namespaces(label_selector=selector)
    assert [item.metadata.uid for item in listed.items] == [daemonset.metadata.uid]
    await f.apps.delete_collection_namespaced_daemon_set(
        f.ns, label_selector=selector, body=client.V1DeleteOptions(grace_period_seconds=1)
    )
    listed = await f.apps.list_daemon_set_for_all_namespaces(label_selector=selector)
    assert listed.items == []


async def test_changes_to_a_daemon_set_status(f: Framework) -> None:
    selector = f"{NAME_LABEL}={NAME}"
    listed = await f.apps.list_daemon_set_for_all_namespaces(label_selector=selector)
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset(labelled=True))
    await f.until_running(daemonset)
    await f.check_status()
    assert (await f.apps.read_namespaced_daemon_set_status(NAME, f.ns)).status.number_ready == 3

    async def seen(type_: str) -> None:
        """A watch from before the creation shows the condition."""
        async with asyncio.timeout(PATIENCE_S), watch.Watch() as events:
            async for event in events.stream(
                f.apps.list_namespaced_daemon_set,
                f.ns,
                label_selector=selector,
                resource_version=listed.metadata.resource_version,
            ):
                conditions = event["object"].status.conditions or []
                if any(condition.type == type_ for condition in conditions):
                    return

    while True:
        live = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
        condition = client.V1DaemonSetCondition(
            type="StatusUpdate", status="True", reason="E2E", message="Set from e2e test"
        )
        live.status.conditions = [*(live.status.conditions or []), condition]
        try:
            await f.apps.replace_namespaced_daemon_set_status(NAME, f.ns, live)
            break
        except ApiException as error:
            if error.status != 409:
                raise
    await seen("StatusUpdate")
    payload = {  # an empty DaemonSet as Go writes it: the spec's nulls must change nothing
        "metadata": {"creationTimestamp": None},
        "spec": {
            "selector": None,
            "template": {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}},
            "updateStrategy": {},
        },
        "status": {
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0,
            "numberReady": 0,
            "conditions": [
                {"type": "StatusPatched", "status": "True", "lastTransitionTime": None}
            ],
        },
    }  # fmt: skip
    patched = await patching(f.apps.patch_namespaced_daemon_set_status, MERGE)(NAME, f.ns, payload)
    assert patched.spec.template.spec.containers[0].image == IMAGE
    assert patched.metadata.creation_timestamp is not None
    assert [c.type for c in patched.status.conditions] == ["StatusPatched"]
    await seen("StatusPatched")
    await f.check_status()
    live = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
    assert [c.type for c in live.status.conditions] == ["StatusPatched"]
    assert live.metadata.generation == 1
