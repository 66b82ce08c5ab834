"""Python clients and the example operator recover from faults: trials of clients_under_faults.py.

What they make of faults meanwhile is theirs, and told in docs/chaos/clients.md. Here it is about
what kubeherd tells them: with it each must get right again, and a write whose answer was lost must
have been carried out once.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S
from trials.faults import Hurting, World, trial
from trials.mirroring import AsyncioWatch, Client, Kr8s, Kr8sSince, OfficialInformer, OfficialWatch
from trials.operators import operator_trial

import kubeherd
from kubeherd.pytest_plugin.clusters import Clusters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("forgotten_clients"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # some clients cannot be closed
    pytest.mark.filterwarnings("ignore:Kubernetes version v1.36"),  # newer than kr8s knows
]


@pytest.fixture(scope="module")
def cluster(kubeherd_factory: Clusters) -> Iterator[kubeherd.Cluster]:
    with kubeherd_factory(nodes=1, speed=10) as running:
        yield running


def hurting(cluster: kubeherd.Cluster) -> Hurting:
    return Hurting(lambda effect, whom: cluster.fault(effect, clients=whom), cluster.undo_faults)


ONCE = ["409", "409", "404"]
"""The last answers to a create, a replace and a delete that had been carried out before."""


@pytest.mark.parametrize(
    ("kind", "fault", "answers"),
    [
        (OfficialInformer, "answers-lost", ONCE),
        (OfficialWatch, "stale-lists", ["done"] * 3),
        (AsyncioWatch, "broken-after-writes", ONCE),
        (Kr8s, "requests-lost", ["done"] * 3),
        (Kr8sSince, "expired", ["done"] * 3),
    ],
)
async def test_a_client_is_right_again_when_all_is_healed(
    cluster: kubeherd.Cluster, kind: Callable[[Path], Client], fault: str, answers: list[str]
) -> None:
    world = World(cluster.kubeconfig)
    client = kind(cluster.kubeconfig)
    run = await trial(client, fault, hurting(cluster), world, PATIENCE_S)
    assert run.after_s is not None, run
    assert [call.rpartition(" ")[2] for call in run.calls] == answers, run


async def test_the_operator_reports_in_the_end(cluster: kubeherd.Cluster, tmp_path: Path) -> None:
    world = World(cluster.kubeconfig)
    run = await operator_trial(
        cluster.kubeconfig, "answers-lost", hurting(cluster), world, tmp_path / "operator.log"
    )
    assert run.after_s is not None, run
