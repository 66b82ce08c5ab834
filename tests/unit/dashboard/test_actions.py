"""What the page may ask for, and the command that does the same."""

import shlex
from typing import Any

import msgspec
import pytest

from kubeherd.dashboard import objects
from kubeherd.dashboard.actions.asked import ANYWHERE, Action, Commands, decode
from kubeherd.dashboard.web.answers import Refused

OURS = Commands(" --dir '/tmp/my herd'", "/tmp/my herd/kubeconfig", ours=True)
FOREIGN = Commands("", "/home/me/.kube/config", ours=False)
CONFIG = "kubectl --kubeconfig '/tmp/my herd/kubeconfig'"
HOSTILE = "c=$(reboot)`x`';"
DIR = "--dir '/tmp/my herd'"


def command(of: Commands = OURS, **wanted: Any) -> str:
    return of.of(decode(msgspec.json.encode(wanted)))


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"action": "kill", "node": "n-1"}, f"kubeherd node kill n-1 {DIR}"),
        (
            {"action": "stop", "nodes": ["n-1", "n-2", "n-1"]},
            f"kubeherd node stop n-1 {DIR} && kubeherd node stop n-2 {DIR}",
        ),
        ({"action": "partition", "nodes": ["a", "b"]}, f"kubeherd fault partition a b {DIR}"),
        ({"action": "heal", "fault": "crash-2"}, f"kubeherd fault undo crash-2 {DIR}"),
        ({"action": "add-nodes", "count": 3}, f"kubeherd node add --count 3 {DIR}"),
        ({"action": "speed", "speed": 2.5}, f"kubeherd speed 2.5 {DIR}"),
        ({"action": "remove-node", "node": "n-1"}, f"kubeherd node rm n-1 {DIR}"),
        ({"action": "cordon", "nodes": ["a", "b"]}, f"{CONFIG} cordon a b"),
        (
            {"action": "drain", "node": "a"},
            f"{CONFIG} drain a --ignore-daemonsets --delete-emptydir-data",
        ),
        (
            {"action": "set-image", "workload": "DaemonSet x/agent", "image": "agent:2"},
            f"{CONFIG} -n x set image daemonset/agent '*=agent:2'",
        ),
        (
            {
                "action": "set-image",
                "workload": "Deployment x/web",
                "image": HOSTILE.removeprefix("c="),
                "container": "c",
            },
            f"{CONFIG} -n x set image deployment/web {shlex.quote(HOSTILE)}",
        ),
        (
            {"action": "roll-back", "workload": "StatefulSet x/db", "revision": 2},
            f"{CONFIG} -n x rollout undo statefulset/db --to-revision=2",
        ),
        (
            {"action": "pause", "workload": "Deployment x/web"},
            f"{CONFIG} -n x rollout pause deployment/web",
        ),
    ],
    ids=lambda one: one["action"] if isinstance(one, dict) else "",
)
def test_each_action_has_a_command(wanted: dict[str, Any], line: str):
    assert command(**wanted) == line


def test_a_foreign_cluster_is_acted_on_by_kubectl():
    assert command(FOREIGN, action="remove-node", node="a") == (
        "kubectl --kubeconfig /home/me/.kube/config delete node a"
    )
    assert Action.KILL not in ANYWHERE


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"action": "reboot-the-world"},
        {"action": "kill"},
        {"action": "kill", "node": "a; rm -rf ~"},
        {"action": "kill", "node": "--all"},
        {"action": "kill", "node": "a\nb"},
        {"action": "kill", "node": "\u202ea"},
        {"action": "kill", "node": "a", "more": 1},
        {"action": "heal"},
        {"action": "add-nodes"},
        {"action": "speed"},
        {"action": "speed", "speed": 0},
        {"action": "add-nodes", "count": 10**9},
        {"action": "set-image", "workload": "DaemonSet x/agent"},
        {"action": "set-image", "workload": "DaemonSet x/agent", "image": "a b"},
        {"action": "set-image", "workload": "DaemonSet x/agent", "image": "\x1b[2J"},
        {"action": "restart", "workload": "DaemonSet x/../../secrets"},
        {"action": "restart", "workload": "Secret x/agent"},
        {"action": "restart", "workload": "DaemonSet agent"},
        {"action": "pause", "workload": "DaemonSet x/agent"},
        {"action": "roll-back", "workload": "DaemonSet x/agent", "revision": -1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wanted: dict[str, Any]):
    with pytest.raises(Refused) as refused:
        command(**wanted)
    assert refused.value.status == 400


def test_a_body_that_is_no_json_is_refused():
    for body in (b"", b"{", b"[]", b"\xff\xfe", b"null"):
        with pytest.raises(Refused):
            decode(body)


@pytest.mark.parametrize(
    "wanted",
    [
        {"action": "kill", "node": "a\n"},
        {"action": "heal", "fault": "crash\n"},
        {"action": "restart", "workload": "Deployment x/web\n"},
        {"action": "set-image", "workload": "Deployment x/web", "image": "web:1\n"},
    ],
)
def test_a_name_is_one_line(wanted: dict[str, Any]):
    with pytest.raises(Refused):
        command(**wanted)


def test_nothing_is_no_name():
    assert objects.is_name("a")
    assert not objects.is_name("")
