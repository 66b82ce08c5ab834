"""Which process carries out which fault."""

import pytest

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.faults.carriers import Carriers, Orders, carriers, lifted, orders
from kubeherd.cluster.launcher.settings import Settings, add_nodes
from kubeherd.faults import Clients, Component, Fault, FaultKind, Nodes, effects

COMPONENTS = ("apiserver", "controller-manager")
ALONE = add_nodes(Settings(port=1), ["a", "b", "c"])
FLEET = add_nodes(Settings(port=1, nodes_per_agent=2), ["a", "b", "c"])


def fault(effect: effects.Effect, *nodes: str, target=None, name: str = "f") -> Fault:
    return Fault(id=name, target=target or Nodes(nodes), effect=effect)


@pytest.mark.parametrize(
    ("effect", "target", "carrier"),
    [
        (effects.Partition(), Nodes(("a",)), "apiserver"),
        (effects.SlowNetwork(latency_s=1), Nodes(("a", "c")), "apiserver"),
        (effects.ApiError(code=503), Nodes(("a",)), "apiserver"),
        (effects.ApiError(code=503), Clients(user="me"), "apiserver"),
        (effects.Partition(), Component("controller-manager"), "apiserver"),
        (effects.WatchStall(), Component("controller-manager"), "apiserver"),
        (effects.StoreFull(), Component("apiserver"), "apiserver"),
        (effects.TwoLeaders(), Component("controller-manager"), "controller-manager"),
        (effects.ClockSkew(offset_s=5), Nodes(("b",)), "b"),
        (effects.PodUnready(), Nodes(("b",)), "b"),
    ],
    ids=str,
)
def test_what_is_no_matter_of_signals_is_told(effect, target, carrier):
    one = fault(effect, target=target)
    assert carriers(one, ALONE, COMPONENTS) == Carriers(told={carrier: one})


@pytest.mark.parametrize(
    "effect",
    [effects.Crash(), effects.Stop(), effects.Freeze(), effects.Restart(), effects.Reboot()],
    ids=str,
)
def test_whole_processes_get_signals(effect):
    assert carriers(fault(effect, "a", "c"), ALONE, COMPONENTS).signalled == ("a", "c")
    assert carriers(fault(effect, "a", "b"), FLEET, COMPONENTS) == Carriers(("agent-0",))
    assert carriers(fault(effect, "b", "a", "b"), FLEET, COMPONENTS) == Carriers(("agent-0",))


def test_a_part_of_a_process_is_its_own_matter():
    mixed = carriers(fault(effects.Crash(), "b", "c"), FLEET, COMPONENTS)
    assert mixed == Carriers(("agent-1",), {"agent-0": fault(effects.Crash(), "b")})
    for effect in (effects.Partition(), effects.SlowNetwork(), effects.PodCrash()):
        told = carriers(fault(effect, "a", "b", "c"), FLEET, COMPONENTS).told
        assert told == {"agent-0": fault(effect, "a", "b"), "agent-1": fault(effect, "c")}


def test_an_agent_restarts_one_of_its_nodes_itself():
    for effect in (effects.Restart(), effects.Restart(graceful=False), effects.Reboot()):
        told = carriers(fault(effect, "a"), FLEET, COMPONENTS).told
        assert told == {"agent-0": fault(effect, "a")}


def test_a_users_program_is_a_client_but_no_process_of_ours():
    command = fault(effects.Partition(), target=Component("command"))
    assert carriers(command, ALONE, COMPONENTS) == Carriers(told={"apiserver": command})


def test_a_component_gets_signals():
    one = fault(effects.Restart(), target=Component("apiserver"))
    assert carriers(one, ALONE, COMPONENTS) == Carriers(("apiserver",))


@pytest.mark.parametrize(
    ("effect", "target", "why"),
    [
        (effects.Crash(), Nodes(("a", "x")), 'the cluster has no node "x"'),
        (effects.Crash(), Component("command"), 'the cluster has no process "command"'),
        (effects.ApiDrop(), Nodes(("a",)), "api-drop cannot hurt a: nodes that share a process"),
    ],
)
def test_what_nobody_can_carry_out_is_refused(effect, target, why):
    with pytest.raises(LauncherError, match=why):
        carriers(fault(effect, target=target), FLEET, COMPONENTS)


def test_orders_add_up():
    faults = [
        fault(effects.Freeze(), "a", name="1"),
        fault(effects.PodUnready(), "a", "b", name="2"),
        fault(effects.Stop(), "b", name="3"),
        fault(effects.HeartbeatLoss(), "a", name="4"),
    ]
    found = orders(faults, ALONE, COMPONENTS)
    assert sorted(found) == ["a", "b"]
    assert (found["a"].down, found["a"].frozen) == (False, True)
    assert [told.id for told in found["a"].told] == ["2", "4"]
    assert [told.target for told in found["a"].told] == [Nodes(("a",)), Nodes(("a",))]
    unready = fault(effects.PodUnready(), "b", name="2")
    assert found["b"] == Orders(down=True, graceful=True, told=(unready,))


def test_lifting_takes_nodes_out_of_faults():
    crash = fault(effects.Crash(), "a", "b", name="1")
    freeze = fault(effects.Freeze(), "a", name="2")
    manager = fault(effects.Crash(), target=Component("controller-manager"), name="3")
    faults = [crash, freeze, manager]
    assert lifted(faults, (FaultKind.CRASH,), ["a"]) == [
        fault(effects.Crash(), "b", name="1"),
        freeze,
        manager,
    ]
    assert lifted(faults, frozenset(FaultKind), ["a", "b"]) == [manager]
    assert lifted(faults, (FaultKind.CRASH,), ["controller-manager"]) == [crash, freeze]
