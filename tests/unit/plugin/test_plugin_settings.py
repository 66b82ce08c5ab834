"""What cluster a test gets."""

from typing import Any

import pytest

from kubeherd.pytest_plugin.settings import WrongSetting, resolve


def test_defaults_and_a_seed_of_the_name():
    first, second = resolve([], {}, {}, "test_a"), resolve([], {}, {}, "test_b")
    assert first == {**second, "seed": first["seed"]}
    assert first["seed"] != second["seed"]
    assert first == resolve([], {}, {}, "test_a")
    assert {k: v for k, v in first.items() if k != "seed"} == {
        "nodes": 3,
        "nodes_per_agent": 1,
        "controllers": 1,
        "apiservers": 1,
        "record": "nothing",
        "speed": 10.0,
        "store": "memory",
        "exec": "script",
        "profile": "bare",
    }


def test_the_nearest_marker_wins_then_the_command_line_then_the_file():
    ini = {"nodes": "1", "speed": "2", "seed": "3", "store": "sqlite", "exec": "local"}
    options = {"nodes": "4", "speed": "5", "seed": None, "store": None, "exec": None}
    markers: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {"nodes": 6}),
        ((), {"nodes": 7, "store": "memory", "profile": "kind"}),
    ]
    assert resolve(markers, options, ini, "") == {
        "nodes": 6,
        "speed": 5.0,
        "seed": 3,
        "store": "memory",
        "exec": "local",
        "profile": "kind",
        "nodes_per_agent": 1,
        "controllers": 1,
        "apiservers": 1,
        "record": "nothing",
    }


def test_a_random_seed_is_left_to_the_cluster():
    assert resolve([], {"seed": "random"}, {}, "t")["seed"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([((1,), {})], {}, {}), "named arguments only"),
        (([((), {"node": 1})], {}, {}), "the marker kubeherd does not know 'node'"),
        (([], {"nodes": "many"}, {}), "--kubeherd-nodes: nodes cannot be 'many'"),
        (
            ([], {}, {"store": "redis"}),
            "kubeherd_store: store cannot be 'redis': it is memory",
        ),
        (([((), {"exec": "docker"})], {}, {}), "exec cannot be 'docker': it is script or local"),
        (([], {"profile": "k3d"}, {}), "profile cannot be 'k3d': it is bare or kind"),
    ],
)
def test_wrong_settings(arguments: tuple[Any, Any, Any], said: str):
    markers, options, ini = arguments
    with pytest.raises(WrongSetting, match=said):
        resolve(markers, options, ini, "t")
