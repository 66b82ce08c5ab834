"""The processes of one cluster as a set: added, removed, started and stopped in order.

Invariants: one supervising task per process, owned by the task group that was given; API servers,
and before them etcd, start first and stop last. Changes are announced to waiters and end up in
state.json.
"""

import asyncio
import functools
from collections.abc import Callable, Collection, Iterable

from kubeherd.cluster.launcher.plan import FAILED_STARTS_LIMIT, ProcessSpec, Role
from kubeherd.cluster.launcher.processes.supervised import Starter, SupervisedProcess
from kubeherd.cluster.launcher.state import ProcessState
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.runtime.rng import Rng

DASHBOARD_GRACE_S = 5.0
AGENT_GRACE_S = 5.0
CONTROLLER_GRACE_S = 5.0
APISERVER_GRACE_S = 10.0
ETCD_GRACE_S = 10.0
_STOP_ORDER = (
    (Role.DASHBOARD, DASHBOARD_GRACE_S),
    (Role.AGENT, AGENT_GRACE_S),
    (Role.CONTROLLER_MANAGER, CONTROLLER_GRACE_S),
    (Role.APISERVER, APISERVER_GRACE_S),
    (Role.ETCD, ETCD_GRACE_S),
)


class Herd:
    """All supervised processes of a cluster, by name."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        starter: Starter,
        clock: Clock,
        rng: Rng,
        changed: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._starter = starter
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self.follow: Callable[[ProcessState], None] | None = None
        """Told of a process whenever something of it changes."""
        self._processes: dict[str, SupervisedProcess] = {}
        self._supervising: dict[str, asyncio.Task[None]] = {}

    def __getitem__(self, name: str) -> SupervisedProcess:
        return self._processes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._processes

    @property
    def components(self) -> list[str]:
        """The processes of the control plane, by name."""
        return [p.spec.name for p in self._processes.values() if p.spec.role is not Role.AGENT]

    def grace_s(self, name: str) -> float:
        """How long a process may take to end in order."""
        return dict(_STOP_ORDER)[self._processes[name].spec.role]

    def start(self, specs: Iterable[ProcessSpec]) -> None:
        """Add these processes, or give them a new spec, and want them running."""
        for spec in specs:
            process = self._processes.get(spec.name)
            if process is None:
                changed = functools.partial(self._process_changed, spec.name)
                process = SupervisedProcess(spec, self._starter, self._clock, self._rng, changed)
                self._processes[spec.name] = process
                task = self._tasks.create_task(process.supervise(), name=f"supervise {spec.name}")
                self._supervising[spec.name] = task
            process.spec = spec
            process.start()

    async def remove(self, name: str) -> None:
        """Stop a process and forget it."""
        await self._processes[name].stop(AGENT_GRACE_S)
        self._supervising.pop(name).cancel()
        del self._processes[name]
        self._changed()

    async def stop(self, names: Collection[str]) -> None:
        """Stop these processes, in order: etcd last."""
        for role, grace_s in _STOP_ORDER:
            members = [p for name in names if (p := self._processes[name]).spec.role is role]
            await asyncio.gather(*(process.stop(grace_s) for process in members))

    async def stop_all(self) -> None:
        """Stop everything, in order."""
        await self.stop(tuple(self._processes))

    def end_supervision(self) -> None:
        """Cancel the supervising tasks; the processes must be down."""
        for task in self._supervising.values():
            task.cancel()

    def ready(self, names: Iterable[str]) -> bool:
        """Whether all these processes serve."""
        return all(self._processes[name].ready for name in names)

    def hopeless(self) -> SupervisedProcess | None:
        """A process that keeps ending before it is ready for the first time, or None.

        API servers and etcd get one try: what stops them (port, store) will not go away.
        """
        for process in self._processes.values():
            once = process.spec.role in (Role.APISERVER, Role.ETCD)
            limit = 1 if once else FAILED_STARTS_LIMIT
            if not process.was_ready and process.failed_starts >= limit:
                return process
        return None

    def snapshot(self) -> tuple[ProcessState, ...]:
        """What state.json and `kubeherd status` say."""
        return tuple(map(_state, self._processes.values()))

    def _process_changed(self, name: str) -> None:
        if self.follow is not None:
            self.follow(_state(self._processes[name]))
        self._changed()


def _state(process: SupervisedProcess) -> ProcessState:
    return ProcessState(
        name=process.spec.name,
        role=process.spec.role,
        phase=process.phase,
        ready=process.serving,
        process=process.child.process if process.child is not None else None,
        nodes=process.spec.nodes,
        restarts=process.restarts,
        port=process.child.port if process.child is not None else 0,
    )
