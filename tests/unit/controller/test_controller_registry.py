"""Which controllers run (controller/registry.py)."""

import pytest

from kubeherd.controller import registry


def test_all_by_default() -> None:
    assert list(registry.select("*")) == list(registry.CONTROLLERS)


def test_names_and_exclusions() -> None:
    assert list(registry.select("daemonset-controller")) == ["daemonset-controller"]
    assert "daemonset-controller" not in registry.select("*,-daemonset-controller")
    assert registry.select("") == {}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(registry.UnknownController, match='"nonsense" is not in the list'):
        registry.select("*,-nonsense")
