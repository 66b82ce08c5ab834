"""Clusters of a pytest session: made, told of in reports, and stopped or kept."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from kubeherd import Cluster
from kubeherd.pytest_plugin import report
from kubeherd.pytest_plugin.settings import BY_MARKER_ONLY, SETTINGS, WrongSetting, resolve

KEY = pytest.StashKey["Clusters"]()


@dataclass
class Entry:
    """A cluster of the session; `owner` is the test that it was made for, if it was for one."""

    cluster: Cluster
    owner: str
    failed: bool = False


class Clusters:
    """Called with settings: a context manager around a new, running cluster."""

    def __init__(self, config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._config = config
        self._paths = tmp_path_factory
        self._keep: bool = config.getoption("kubeherd_keep")
        self._entries: list[Entry] = []
        config.stash[KEY] = self

    def __call__(self, **settings: Any) -> AbstractContextManager[Cluster]:
        """A cluster with these settings; those of the run for what is not given."""
        return self._running([((), settings)], name="", owner="")

    def for_test(self, node: pytest.Item) -> AbstractContextManager[Cluster]:
        """A cluster as the markers of a test want it."""
        markers = [(marker.args, marker.kwargs) for marker in node.iter_markers("kubeherd")]
        return self._running(markers, name=node.nodeid, owner=node.nodeid)

    def failed(self, owner: str) -> list[tuple[str, str]]:
        """A test failed: sections for its report on the clusters that it had.

        These are those made for it, or else all that are shared. With --kubeherd-keep they stay.
        """
        own = [entry for entry in self._entries if entry.owner == owner]
        sections = []
        for entry in own or [entry for entry in self._entries if not entry.owner]:
            entry.failed = True
            sections += report.sections(entry.cluster, owner, kept=self._keep)
        return sections

    @contextmanager
    def _running(
        self, markers: list[tuple[tuple[Any, ...], Mapping[str, Any]]], name: str, owner: str
    ) -> Iterator[Cluster]:
        settings = resolve(markers, *self._usual(), name)
        # those of tests that are over, whose start failed: they are told of by now
        self._entries = [e for e in self._entries if e.owner in ("", owner)]
        directory = self._paths.mktemp("kubeherd")
        entry = Entry(Cluster(directory, detached=self._keep, **settings), owner)
        self._entries.append(entry)
        entry.cluster.start()
        try:
            yield entry.cluster
        finally:
            self._entries.remove(entry)
            if not (self._keep and entry.failed):
                entry.cluster.stop()
                if not entry.failed:
                    shutil.rmtree(directory, ignore_errors=True)

    def _usual(self) -> tuple[dict[str, str | None], dict[str, str]]:
        named = [name for name in SETTINGS if name not in BY_MARKER_ONLY]
        options = {name: self._config.getoption(f"kubeherd_{name}") for name in named}
        return options, {name: self._config.getini(f"kubeherd_{name}") for name in named}


def sections_for(item: pytest.Item) -> list[tuple[str, str]]:
    """Sections for the report of a test that failed; none for one without a cluster."""
    clusters = item.config.stash.get(KEY, None)
    return [] if clusters is None else clusters.failed(item.nodeid)


__all__ = ["Clusters", "WrongSetting", "sections_for"]
