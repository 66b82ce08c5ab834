"""Faults as values: what may hurt whom, in JSON and in words."""

import typing

import pytest

from kubeherd.faults import Clients, Component, Fault, FaultError, FaultKind, Nodes, effects
from kubeherd.faults.effects import Direction, Effect, Moment
from kubeherd.faults.fault import decode, encode, targets_of

NODES = Nodes(("node-1", "node-2"))
MANAGER = Component("controller-manager")
ANYBODY = Clients()


def test_every_kind_has_an_effect_and_targets():
    kinds = [FaultKind(str(one.__struct_config__.tag)) for one in typing.get_args(Effect)]
    assert sorted(kinds) == sorted(FaultKind)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(id="a", target=NODES, effect=effects.Partition(direction=Direction.ANSWERS)),
        Fault(id="b", target=MANAGER, effect=effects.Freeze(), at=12.5, until=20.0),
        Fault(
            id="c",
            target=Clients(user_agent="kopf/*"),
            effect=effects.ApiError(code=429, retry_after_s=3, verbs=("list",), probability=0.5),
        ),
    ],
    ids=str,
)
def test_a_fault_comes_back_from_json(fault: Fault):
    assert decode(encode(fault)) == fault


@pytest.mark.parametrize(
    ("effect", "target", "why"),
    [
        (effects.Crash(), ANYBODY, "crash hurts nodes or a component, not clients"),
        (effects.StoreFull(), NODES, "store-full hurts a component, not nodes"),
        (effects.StoreFull(), MANAGER, "store-full hurts the apiserver, not controller-manager"),
        (effects.PodCrash(), MANAGER, "pod-crash hurts nodes, not a component"),
        (
            effects.Partition(),
            Component("apiserver"),
            "partition hurts the controller-manager or command, not apiserver",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(effect: Effect, target, why: str):
    with pytest.raises(FaultError) as refused:
        Fault(id="f", target=target, effect=effect).check()
    assert str(refused.value) == why


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "f", "target": {"type": "nodes", "names": []}, "effect": {"kind": "crash"}}',
        '{"id": "f", "target": {"type": "clients"}, "effect": {"kind": "no-such"}}',
        '{"id": "f", "target": {"type": "clients"}, "effect": {"kind": "api-error", "code": 200}}',
        '{"id": "f", "target": {"type": "clients"}, "effect": {"kind": "api-error"}}',
        '{"id": "F!", "target": {"type": "clients"}, "effect": {"kind": "expire"}}',
        '{"id": "f", "target": {"type": "clients"}, "effect": {"kind": "expire", "typo": 1}}',
        '{"id": "f", "target": {"type": "clients"}, "effect": {"kind": "crash"}}',
        "nothing",
    ],
)
def test_json_that_is_no_fault_is_refused(text: str):
    with pytest.raises(FaultError):
        decode(text.encode())


def test_a_fault_in_words_names_only_what_differs_from_the_defaults():
    dropped = effects.ApiDrop(moment=Moment.AFTER, verbs=("create", "update"), probability=0.25)
    fault = Fault(id="f", target=Clients(user="alice"), effect=dropped)
    assert str(fault) == ("api-drop user=alice verbs=create,update probability=0.25 moment=after")
    assert str(Fault(id="f", target=NODES, effect=effects.Crash())) == "crash node-1, node-2"
    hard = effects.Restart(graceful=False, rolling=True)
    shown = str(Fault(id="f", target=NODES, effect=hard))
    assert shown == "restart node-1, node-2 graceful=false rolling=true"


@pytest.mark.parametrize(
    ("clients", "matches"),
    [
        (Clients(), True),
        (Clients(user="system:node:*"), True),
        (Clients(user="system:node:*", user_agent="kubectl/*"), False),
        (Clients(certificate="ab" * 32), True),
        (Clients(certificate="cd" * 32), False),
    ],
)
def test_clients_match_by_all_that_is_said_of_them(clients: Clients, matches: bool):
    one = {"user": "system:node:node-1", "user_agent": "kubelet/1", "certificate": "ab" * 32}
    assert clients.match(**one) is matches


def test_only_what_lasts_can_be_undone():
    assert Fault(id="f", target=NODES, effect=effects.Freeze()).undoable
    assert not Fault(id="f", target=NODES, effect=effects.Reboot()).undoable


def test_every_kind_has_targets():
    assert all(targets_of(kind) for kind in FaultKind)


def test_a_flapping_partition_cuts_for_its_share_of_each_period():
    flapping = effects.Partition(period_s=10, share=0.3)
    assert [flapping.cuts(age) for age in (0, 2.9, 3, 9.9, 10, 12.9, 13)] == [
        True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert flapping.changes_in_s(11) == pytest.approx(2)
    assert flapping.changes_in_s(14) == pytest.approx(6)


@pytest.mark.parametrize("lasting", [effects.Partition(), effects.Partition(period_s=10, share=1)])
def test_a_partition_that_does_not_flap_never_changes(lasting: effects.Partition):
    assert lasting.cuts(1e6)
    assert lasting.changes_in_s(5) is None


def test_a_message_takes_latency_jitter_and_its_size():
    slow = effects.SlowNetwork(latency_s=0.2, jitter_s=0.1, bandwidth_bytes_per_s=1000)
    assert slow.takes_s(500, lambda low, _high: low) == pytest.approx(0.6)
    assert slow.takes_s(500, lambda _low, high: high) == pytest.approx(0.8)
    wild = effects.ApiDelay(latency_s=0.1, jitter_s=5)
    assert wild.takes_s(lambda low, _high: low) == 0


def test_an_id_is_one_line():
    fault = Fault(id="f", target=NODES, effect=effects.Crash())
    with pytest.raises(FaultError):
        decode(encode(fault).replace(b'"f"', b'"f\\n"'))
