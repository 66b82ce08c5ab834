"""The store against a dictionary and a list: whatever happens, both tell the same story."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kubeherd.cluster.api.errors import Expired
from kubeherd.cluster.store.engine import Engine, MemoryEngine
from kubeherd.cluster.store.local import LocalStore
from kubeherd.cluster.store.sqlite.engine import SqliteEngine
from kubeherd.cluster.store.staged import Staged
from kubeherd.cluster.store.state import Attrs, Record
from kubeherd.cluster.store.watch.deliveries import WatchFilter
from kubeherd.cluster.store.watch.subscription import Subscription

NAMES = st.sampled_from(["a", "b", "c-d", "c"])
NAMESPACES = st.sampled_from(["x", "x-y", "y"])
RESOURCES = st.sampled_from(["pods", "nodes"])
NODES = st.sampled_from(["", "n1", "n2"])
MAX_EVENTS = 24

Key = tuple[str, str, str]
Change = tuple[int, Key, bytes | None]
"""(revision, object, its bytes or None for a deletion)."""


def attrs_of(_resource_key: str, json: bytes) -> Attrs:
    return Attrs({}, {"spec.nodeName": orjson.loads(json)["node"]})


class StoreMachine(RuleBasedStateMachine):
    """Writes, commits, reads of the present and the past, watches, restarts and crashes."""

    def engine(self) -> Engine:
        return SqliteEngine(self.directory / "store.db")

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.runner = asyncio.Runner()
        self.log: list[Change] = []
        self.staged: list[Staged] = []
        self.watches: list[tuple[Subscription, WatchFilter, int, list[tuple[str, int]]]] = []
        self.open()

    def open(self) -> None:
        self.store = LocalStore(self.engine(), attrs_of, max_history_events=MAX_EVENTS)
        self.store.open()
        self.task = self.runner.get_loop().create_task(self.store.run())
        self.watches.clear()
        self.staged.clear()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.stop()
            self.runner.close()
            shutil.rmtree(self.directory)

    def stop(self) -> None:
        async def stop() -> None:
            self.store.stop()
            await self.task
            await self.store.close()

        self.runner.run(stop())

    # --- what the model says ---

    def state(self, revision: int) -> dict[Key, tuple[int, bytes]]:
        state: dict[Key, tuple[int, bytes]] = {}
        for at, key, json in self.log:
            if at > revision:
                break
            if json is None:
                state.pop(key, None)
            else:
                state[key] = (at, json)
        return state

    def listed(self, revision: int, resource: str, namespace: str) -> list[bytes]:
        state = self.state(revision)
        keys = [k for k in state if k[0] == resource and namespace in ("", k[1])]
        return [state[key][1] for key in sorted(keys, key=lambda k: f"{k[1]}/{k[2]}")]

    # --- rules ---

    @rule(resource=RESOURCES, namespace=NAMESPACES, name=NAMES, node=NODES)
    def put(self, resource: str, namespace: str, name: str, node: str) -> None:
        def json_for(revision: int) -> bytes:
            return orjson.dumps({"rv": revision, "node": node})

        async def put() -> Staged:
            return self.store.put(
                resource, namespace, name, json_for, attrs_of(resource, json_for(0))
            )

        staged = self.runner.run(put())
        assert staged.revision > (self.log[-1][0] if self.log else 1)
        self.log.append((staged.revision, (resource, namespace, name), staged.record.json))
        self.staged.append(staged)

    @rule(resource=RESOURCES, namespace=NAMESPACES, name=NAMES)
    def delete(self, resource: str, namespace: str, name: str) -> None:
        head = self.store.head(resource, namespace, name)
        state = self.state(self.log[-1][0] if self.log else 0)
        assert (head is not None) == ((resource, namespace, name) in state)
        if head is None:
            return
        tree = head.load()

        async def delete() -> Staged:
            return self.store.delete(
                resource, namespace, name, lambda revision: orjson.dumps({**tree, "rv": revision})
            )

        staged = self.runner.run(delete())
        self.log.append((staged.revision, (resource, namespace, name), None))
        self.staged.append(staged)

    @rule()
    def commit(self) -> None:
        async def wait() -> None:
            for staged in self.staged:
                await self.store.committed(staged)

        self.runner.run(wait())
        self.staged.clear()
        if self.log:
            assert self.store.revision == self.log[-1][0]

    @rule(resource=RESOURCES, node=NODES, back=st.integers(0, 30))
    def watch(self, resource: str, node: str, back: int) -> None:
        since = max(1, self.store.revision - back)
        wanted = WatchFilter(resource, node_name=node if resource == "pods" else "")
        try:
            subscription = self.store.hub.subscribe(wanted, since)
        except Expired:
            assert since < self.store.compacted
            return
        assert since >= self.store.compacted
        self.watches.append((subscription, wanted, since, []))

    @rule(resource=RESOURCES, namespace=st.sampled_from(["", "x", "y"]), back=st.integers(0, 30))
    def list_at(self, resource: str, namespace: str, back: int) -> None:
        revision = max(1, self.store.revision - back)
        try:
            records = self.store.list_at(resource, namespace, revision)
        except Expired:
            assert revision < self.store.compacted
            return
        assert [r.json for r in records] == self.listed(revision, resource, namespace)

    @precondition(lambda self: not self.staged)
    @rule()
    def restart(self) -> None:
        self.stop()
        self.open()
        assert self.store.revision == (self.log[-1][0] if self.log else 1)

    @rule()
    def crash(self) -> None:
        """Go on with a copy of the files as a kill at this moment would leave them."""
        committed = self.store.revision
        copy = Path(tempfile.mkdtemp(prefix="store-model-"))
        for file in self.directory.iterdir():
            shutil.copy(file, copy / file.name)
        self.stop()
        shutil.rmtree(self.directory)
        self.directory = copy
        self.open()
        assert self.store.revision >= committed
        self.log = [change for change in self.log if change[0] <= self.store.revision]

    # --- invariants ---

    @invariant()
    def readers_see_the_committed_state(self) -> None:
        if not hasattr(self, "store"):
            return
        for resource in ("pods", "nodes"):
            expected = self.listed(self.store.revision, resource, "")
            assert [r.json for r in self.store.list(resource)] == expected
        for node in ("n1", "n2"):
            on_node = [r.json for r in self.store.list_on_node("pods", node)]
            pods = self.listed(self.store.revision, "pods", "")
            assert on_node == [json for json in pods if orjson.loads(json)["node"] == node]

    @invariant()
    def watchers_saw_every_change_once_and_in_order(self) -> None:
        if not hasattr(self, "store"):
            return
        for subscription, wanted, since, seen in self.watches:
            seen.extend((d.type.value, d.event.revision) for d in subscription.take())
            assert seen == self.expected(wanted, since)

    def expected(self, wanted: WatchFilter, since: int) -> list[tuple[str, int]]:
        events = []
        previous: dict[Key, bytes] = {}
        for at, key, json in self.log:
            before, after = (
                self.wants(wanted, key, previous.get(key)),
                self.wants(wanted, key, json),
            )
            if json is None:
                del previous[key]
            else:
                previous[key] = json
            if since < at <= self.store.revision and (before or after):
                kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
                events.append((kind, at))
        return events

    @staticmethod
    def wants(wanted: WatchFilter, key: Key, json: bytes | None) -> bool:
        if json is None or key[0] != wanted.resource_key:
            return False
        return wanted.wants(Record(*key, 0, 0, json, attrs_of))


class MemoryMachine(StoreMachine):
    """The same without files: no restarts."""

    def engine(self) -> Engine:
        return MemoryEngine()

    @precondition(lambda self: False)
    @rule()
    def restart(self) -> None:
        """Memory does not outlive its process."""

    @precondition(lambda self: False)
    @rule()
    def crash(self) -> None:
        """Memory does not outlive its process."""


@pytest.mark.parametrize("machine", [StoreMachine, MemoryMachine])
def test_the_store_agrees_with_the_model(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=25, stateful_step_count=40, deadline=None, database=None),
    )
