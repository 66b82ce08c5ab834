"""Python clients and the example operator recover from faults: trials of clients_under_faults.py.

What they make of faults meanwhile is theirs, and told in docs/chaos/clients.md. Here it is about
what kubeherd tells them: with it each must get right again, and a write whose answer was lost must
have been carried out once.
"""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_trials import Hurting, World, trial
from mirroring_clients import AsyncioWatch, Client, Kr8s, Kr8sSince, OfficialInformer, OfficialWatch
from operator_trials import operator_trial

import kubeherd
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # some clients cannot be closed
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.36"),  # newer than kr8s knows
]

HEALS_WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def forgotten_clients() -> Iterator[None]:
    """Clients that a test leaves behind end with it, not in the middle of another."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=1, speed=10) as running:
        yield running


def hurting(cluster: kubeherd.Cluster) -> Hurting:
    return Hurting(lambda effect, whom: cluster.fault(effect, clients=whom), cluster.undo_faults)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (OfficialInformer, "answers-lost"),
        (OfficialWatch, "expired"),
        (AsyncioWatch, "stale-lists"),
        (Kr8s, "requests-lost"),
        (Kr8sSince, "expired"),
    ],
)
async def test_a_mirror_is_right_again_when_all_is_healed(
    cluster: kubeherd.Cluster, kind: Callable[[Path], Client], fault: str
) -> None:
    world = World(cluster.kubeconfig)
    run = await trial(
        kind(cluster.kubeconfig), fault, hurting(cluster), world, heals_within_s=HEALS_WITHIN_S
    )
    assert run.after_s is not None, run
    assert run.meanwhile == "right" or fault != "requests-lost", run


@pytest.mark.parametrize("kind", [AsyncioWatch, Kr8s])
async def test_a_write_whose_answer_was_lost_has_been_carried_out_once(
    cluster: kubeherd.Cluster, kind: Callable[[Path], Client]
) -> None:
    world = World(cluster.kubeconfig)
    run = await trial(
        kind(cluster.kubeconfig),
        "broken-after-writes",
        hurting(cluster),
        world,
        heals_within_s=HEALS_WITHIN_S,
    )
    assert [call.rpartition(" ")[2] for call in run.calls] == ["409", "409", "404"], run


async def test_the_operator_reports_in_the_end(cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    world = World(cluster.kubeconfig)
    run = await operator_trial(
        cluster.kubeconfig, "answers-lost", hurting(cluster), world, tmp_path / "operator.log"
    )
    assert run.after_s is not None, run
