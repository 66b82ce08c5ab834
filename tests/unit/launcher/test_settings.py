"""Settings of a cluster: node names, agent processes, and that they survive a restart."""

import pytest

from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import (
    Settings,
    StoreKind,
    add_nodes,
    next_names,
    remove_node,
)


def test_names_count_on_and_are_not_given_twice():
    assert next_names([], 2) == ["node-0", "node-1"]
    assert next_names(["node-0", "node-7", "edge"], 2) == ["node-8", "node-9"]


def test_one_process_per_node_has_its_name():
    assert add_nodes(Settings(port=1), ["a", "b"]).agents() == {"a": ["a"], "b": ["b"]}


def test_nodes_share_agents():
    settings = add_nodes(Settings(port=1, nodes_per_agent=2), ["a", "b", "c"])
    assert settings.agents() == {"agent-0": ["a", "b"], "agent-1": ["c"]}
    assert add_nodes(settings, ["d"]).agents()["agent-2"] == ["d"]
    assert remove_node(settings, "b").agents() == {"agent-0": ["a"], "agent-1": ["c"]}


@pytest.mark.parametrize("name", ["", "Node", "a_b", "-a", "a" * 53, "apiserver", "../etc", "a..b"])
def test_bad_node_names_are_refused(name: str):
    with pytest.raises(LauncherError):
        add_nodes(Settings(port=1), [name])


def test_a_name_twice():
    with pytest.raises(LauncherError, match='node "a" exists already'):
        add_nodes(Settings(port=1), ["a", "a"])


def test_removing_what_is_not_there():
    with pytest.raises(LauncherError, match='the cluster has no node "a"'):
        remove_node(Settings(port=1), "a")


def test_settings_survive_the_round_trip():
    settings = add_nodes(Settings(port=1, store=StoreKind.MEMORY, speed=2.5, seed=7), ["a"])
    assert settings_module.decode(settings_module.encode(settings)) == settings


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"port": "x"}', b'{"port": 1, "nodes": 3}'])
def test_unreadable_settings_are_one_line(data: bytes):
    with pytest.raises(LauncherError, match=r"cluster\.json is not readable"):
        settings_module.decode(data)


def test_settings_of_a_newer_kubeherd():
    with pytest.raises(LauncherError, match="newer kubeherd"):
        settings_module.decode(b'{"port": 1, "format_version": 99}')
