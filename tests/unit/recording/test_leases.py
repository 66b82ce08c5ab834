"""Leases as a history tells of them."""

from typing import Any

from kubeherd.history import Heartbeat, Leads, Record, Speed, Step, Verb, Write
from kubeherd.history.records import HEARTBEAT_S
from kubeherd.recording.leases import Leases


def lease(at: float, namespace: str, verb: Verb = Verb.UPDATE, **spec: Any) -> Write:
    tree = {"metadata": {"name": "l", "namespace": namespace}, "spec": spec}
    return Write(
        at=at, revision=int(at), verb=verb, resource="leases.coordination.k8s.io",
        namespace=namespace, name="l", object=tree,
    )  # fmt: skip


def told(leases: Leases, *records: Record) -> list[Record]:
    return [one for record in records for one in leases.told(record)]


def test_heartbeats_are_sampled_in_nominal_seconds():
    beat = [lease(at, "kube-node-lease", renewTime="1970-01-01T00:00:09Z") for at in range(12)]
    found = told(Leases(speed=1.0), *beat)
    assert [one.at for one in found if isinstance(one, Heartbeat)] == [0, HEARTBEAT_S, 10]
    assert [one.at for one in found if isinstance(one, Write)] == [0]  # that there is one
    assert found[1] == Heartbeat(at=0, node="l", revision=0, renewed=9.0)
    fast = told(Leases(speed=5.0), *beat)
    assert sum(isinstance(one, Heartbeat) for one in fast) == 12
    faster = told(Leases(speed=1.0), *beat[:6], Speed(at=5.5, speed=5.0), *beat[6:])
    assert [one.at for one in faster if isinstance(one, Heartbeat)] == [0, *range(5, 12)]


def test_a_lease_that_goes_is_told_and_begins_anew():
    leases = Leases(speed=1.0)
    found = told(
        leases,
        lease(0, "kube-node-lease"),
        lease(1, "kube-node-lease", Verb.DELETE),
        lease(2, "kube-node-lease", Verb.CREATE),
    )
    assert [type(one) for one in found] == [Write, Heartbeat, Write, Write, Heartbeat]


def test_who_leads_is_told_when_it_changes():
    found = told(
        Leases(speed=0.0),
        lease(1, "kube-system", holderIdentity="a", leaseTransitions=1),
        lease(2, "kube-system", holderIdentity="a", leaseTransitions=1),
        lease(3, "kube-system", holderIdentity="b", leaseTransitions=2),
        lease(4, "kube-system", Verb.DELETE, holderIdentity="b", leaseTransitions=2),
    )
    leads = [(one.at, one.holder) for one in found if isinstance(one, Leads)]
    assert leads == [(1, "a"), (3, "b"), (4, "")]
    assert sum(isinstance(one, Write) for one in found) == 4


def test_all_else_is_told_as_it_is():
    step = Step(at=1.0, name="heal")
    assert told(Leases(1.0), step) == [step]
