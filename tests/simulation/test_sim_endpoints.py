"""Endpoints, slices and mirrors while everything crashes: in the end they say what there is."""

import os

import pytest
from chaosworld import told

from kubeherd.cluster.api.errors import AlreadyExists, ApiError, NotFound
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DAEMONSETS, ENDPOINTS, ENDPOINTSLICES, SERVICES
from kubeherd.cluster.client.client import PatchKind
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.runtime.rng import Rng
from kubeherd.simulation import virtualtime
from kubeherd.simulation.cluster import SimulatedCluster, daemonset_tree, simulated
from kubeherd.simulation.virtualtime import virtual

NODES = 3
STEPS = 16
SEEDS = range(int(os.environ.get("KUBEHERD_SIM_SEEDS", "3")))
SLICE_CONTROLLER = "endpointslice-controller.k8s.io"


def service(name: str, **spec: object) -> JsonObject:
    fields = {"selector": {"app": "agent"}, "ports": [{"name": "http", "port": 80}], **spec}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": fields,
    }


def by_hand(ips: list[str]) -> JsonObject:
    ports = [{"name": "http", "port": 80}]
    subset = {"addresses": [{"ip": ip} for ip in ips], "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "manual", "namespace": "default"},
        "subsets": [subset],
    }


async def put(cluster: SimulatedCluster, tree: JsonObject) -> None:
    """Make an object, or replace it."""
    resource = ENDPOINTS if tree["kind"] == "Endpoints" else SERVICES
    meta = tree["metadata"]
    try:
        await cluster.admin.create(resource, tree)
    except AlreadyExists:
        await cluster.admin.patch(
            resource, meta["name"], {k: v for k, v in tree.items() if k in ("subsets",)},
            "default", kind=PatchKind.MERGE,
        )  # fmt: skip


async def interfere(cluster: SimulatedCluster, what: str, chance: Rng) -> None:
    """What people do to these objects."""
    if what == "slice":
        for one in await slices(cluster):
            if chance.random() < 0.5:
                name = one["metadata"]["name"]
                await cluster.admin.delete(ENDPOINTSLICES, name, "default")
    elif what == "endpoints":
        await cluster.admin.delete(ENDPOINTS, "web", "default")
    elif what == "service":
        await cluster.admin.delete(SERVICES, "web", "default")
    elif what == "manual":
        await put(cluster, by_hand([f"10.9.9.{n}" for n in range(1, chance.randrange(2, 5))]))
    elif what == "roll":
        containers = [{"name": "main", "image": f"agent:{chance.randrange(1, 6)}"}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        await cluster.admin.patch(DAEMONSETS, "agent", patch, "default")
    else:
        await put(cluster, service("web"))


async def strike(cluster: SimulatedCluster, chance: Rng) -> str:
    """One random fault, repair or change; returns what it was."""
    name = chance.choice(["apiserver", "controller-manager", "controller-manager", "node-0"])
    if not cluster.processes[name].alive:
        cluster.start(name)
        return f"start {name}"
    what = chance.choice(
        ["kill", "kill", "slice", "endpoints", "service", "web", "web", "manual", "roll"]
    )
    if what == "kill":
        await cluster.kill(name)
        return f"kill {name}"
    try:
        await interfere(cluster, what, chance)
    except (ApiError, TransportError) as error:
        return f"{what}: {error}"
    return what


async def slices(cluster: SimulatedCluster) -> list[JsonObject]:
    listed = await cluster.admin.request("GET", ENDPOINTSLICES.path("default"))
    return [one for one in listed["items"] if one["metadata"]["name"] != "kubernetes"]


def of(several: list[JsonObject], name: str) -> list[JsonObject]:
    return [
        one for one in several if one["metadata"]["labels"]["kubernetes.io/service-name"] == name
    ]


def addresses(several: list[JsonObject]) -> list[str]:
    return sorted(
        endpoint["addresses"][0]
        for one in several
        for endpoint in one["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    )


async def in_endpoints(cluster: SimulatedCluster, name: str) -> list[str]:
    try:
        tree = await cluster.tree(ENDPOINTS, name, "default")
    except NotFound:
        return []
    return sorted(
        one["ip"] for subset in tree.get("subsets", ()) for one in subset.get("addresses", ())
    )


async def settled(cluster: SimulatedCluster) -> bool:
    """Slices and Endpoints of the one Service are its ready pods, mirrors the Endpoints by hand."""
    pods = [pod for pod in await cluster.pods() if not pod.metadata.deletion_timestamp]
    ready = sorted(pod.status.pod_ip for pod in pods if pod.ready)
    service_uid = (await cluster.tree(SERVICES, "web", "default"))["metadata"]["uid"]
    several = await slices(cluster)
    web, manual = of(several, "web"), of(several, "manual")
    by_hand = await in_endpoints(cluster, "manual")
    return (
        len(ready) == NODES
        and addresses(web) == ready == await in_endpoints(cluster, "web")
        and len(web) == 1
        and web[0]["metadata"]["ownerReferences"][0]["uid"] == service_uid
        and addresses(manual) == by_hand
        and len(manual) == bool(by_hand)
    )


async def experiment(seed: int) -> None:
    chance = Rng(seed).child("endpoints")
    story: list[str] = []
    async with simulated(seed, nodes=NODES) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await put(cluster, service("web"))
        await put(cluster, service("manual", selector=None))
        for _ in range(STEPS):
            story.append(f"{cluster.now_s:.3f} {await strike(cluster, chance)}")
            await cluster.clock.sleep(chance.choice([0.0, 0.0007, 0.01, 0.1, 0.3, 1.0, 5.0, 60.0]))
        for name, process in cluster.processes.items():
            if not process.alive:
                cluster.start(name)
        await cluster.until(lambda: exists(cluster), within_s=30)
        with told(seed, story):
            await cluster.until(lambda: settled(cluster), within_s=300)
        await cluster.clock.sleep(120)  # a node that was away may have been found out only now
        await cluster.until(lambda: settled(cluster), within_s=60)
        before = await slices(cluster)
        await cluster.clock.sleep(60)
        assert await settled(cluster)
        assert await slices(cluster) == before, "nothing is written for nothing"


async def exists(cluster: SimulatedCluster) -> bool:
    """Make the Service once more, should it be gone."""
    await put(cluster, service("web"))
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_endpoints_are_right_in_the_end(seed: int) -> None:
    virtualtime.run(experiment(seed))


@virtual
async def test_the_check_fails_without_the_controllers() -> None:
    async with simulated(1, nodes=NODES) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await put(cluster, service("web"))
        await cluster.until(lambda: settled(cluster), within_s=60)
        await cluster.kill("controller-manager")
        (one,) = of(await slices(cluster), "web")
        await cluster.admin.delete(ENDPOINTSLICES, one["metadata"]["name"], "default")
        await cluster.clock.sleep(30)
        assert not await settled(cluster)


@virtual
async def test_with_service_accounts_the_roles_allow_all_of_it() -> None:
    async with simulated(1, nodes=NODES, accounts=True) as cluster:
        await cluster.admin.create(DAEMONSETS, daemonset_tree(), "default")
        await put(cluster, service("web"))
        await put(cluster, service("manual", selector=None))
        await put(cluster, by_hand(["10.9.9.1"]))
        await cluster.until(lambda: settled(cluster), within_s=60)
        await cluster.admin.delete(SERVICES, "web", "default")

        async def gone() -> bool:
            found = [one["metadata"]["name"] for one in await slices(cluster)]
            ends = await in_endpoints(cluster, "web")
            return not ends and len(found) == 1

        await cluster.until(gone, within_s=60)
