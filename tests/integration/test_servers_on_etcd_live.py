"""Three API servers on one etcd, killed, frozen and cut off, in small; and that lies are found."""

from pathlib import Path

import kill_servers_on_etcd
import lying_servers
import pytest
from etcdserver import find_etcd
from kill_servers_on_etcd import experiment
from kills import cut_route
from kills.cut_link import Cut
from kills.history import Outcome

from kubeherd.cluster.runtime.rng import Rng

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_etcd() is None, reason="there is no etcd"),
]

SCRIPT = Path(kill_servers_on_etcd.__file__)
LIAR = str(Path(lying_servers.__file__))


async def test_no_promise_is_broken_by_three_rounds(tmp_path: Path):
    cut = Cut.PROXY if cut_route.impossible() else Cut.NETNS
    report = await experiment(tmp_path, rounds=3, rng=Rng(3), cut=cut, check_every=2)
    print(report)
    assert report.wrong == []
    assert report.rounds == 3
    assert report.harms.total() >= 3
    assert report.writes[Outcome.DONE] > 0
    assert report.reads > 0
    assert report.events > 0


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (lying_servers.STALE, ("stale: ", "back: ")),
        # An overwritten deletion is lost, one that overwrites was nobody's: whatever comes first.
        (lying_servers.OVERWRITING, ("overwritten: ", "lost: ", "invented: ")),
    ],
)
async def test_lies_are_found(tmp_path: Path, lie: str, kind: tuple[str, ...]):
    report = await experiment(
        tmp_path, rounds=20, rng=Rng(5), check_every=1, servers=2, watchers=0, parent=(LIAR, lie)
    )
    print(report, *report.wrong, sep="\n")
    assert any(line.startswith(kind) for line in report.wrong)
