"""Laws of cluster.json: what is read back is within its limits, whatever somebody wrote into it."""

import json
import typing

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kubeherd.cluster.launcher import settings as settings_module
from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.settings import Settings, add_nodes, remove_node

GOOD = json.loads(settings_module.encode(add_nodes(Settings(port=7001), ["node-0", "edge"])))
HINTS = typing.get_type_hints(Settings)
NUMBERS = [name for name, kind in HINTS.items() if kind in (int, float)]
EXTREMES = st.sampled_from([-(2**80), -(2**63), -5, -1, 0, 2**16, 2**31, 2**63, 2**80, 1e300, -0.5])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | EXTREMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def decoded(document: object) -> Settings | None:
    try:
        return settings_module.decode(json.dumps(document).encode())
    except LauncherError:
        return None


def test_every_number_has_both_limits():
    assert len(NUMBERS) >= 5
    for name in NUMBERS:
        assert decoded({**GOOD, name: -1}) is None, name
        assert decoded({**GOOD, name: 10**30}) is None, name


@given(st.dictionaries(st.sampled_from(list(GOOD)), JSON, min_size=1))
def test_whatever_is_read_is_within_the_limits(changes: dict[str, object]):
    settings = decoded({**GOOD, **changes})
    if settings is None:
        return
    assert 1 <= settings.port <= 65535
    assert 0.001 <= settings.speed <= 10_000
    assert 0 <= settings.seed < 2**63
    assert 1 <= settings.nodes_per_agent <= 10_000
    assert 1 <= settings.controllers <= 9
    assert settings.format_version == 1
    settings_module.check(settings)


@given(st.lists(st.fixed_dictionaries({"name": st.text(), "agent": st.text()}), min_size=1))
def test_names_are_names_of_nodes(nodes: list[dict[str, str]]):
    settings = decoded({**GOOD, "nodes": nodes})
    for node in settings.nodes if settings else ():
        settings_module.check_node_name(node.name)
        settings_module.check_node_name(node.agent)


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=20))
def test_no_name_that_was_used_is_forgotten(names: list[str]):
    """Each name comes or goes: purge has to know its log."""
    settings = Settings(port=1, nodes_per_agent=2)
    used: set[str] = set()
    for name in names:
        change = remove_node if name in settings.node_names else lambda s, n: add_nodes(s, [n])
        settings = change(settings, name)
        used |= {name, *settings.agents()}
    assert settings.all_names() >= used
    assert msgspec.json.decode(settings_module.encode(settings), type=Settings) == settings
