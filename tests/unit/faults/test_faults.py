"""Faults as values: what may hurt whom, in JSON and in words."""

import typing

import pytest

from kubeherd.faults import Clients, Component, Fault, FaultError, FaultKind, Nodes, effects
from kubeherd.faults.effects import Direction, Effect, Moment
from kubeherd.faults.fault import decode, encode

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
