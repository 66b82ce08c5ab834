"""Runs an experiment in an arena: steady state, faults and steps, healing, verdict.

Invariants: the run is judged on the history alone; what the script says is done in its order, and
each fault is undone at its time or at healing; whatever happens, all faults are undone at the end.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from kubeherd.chaos.arena import Arena, ArenaError
from kubeherd.chaos.experiment import Do, Experiment
from kubeherd.chaos.outcome import Outcome
from kubeherd.chaos.script import Doing, Injection, chance, draw, script
from kubeherd.chaos.story import Seen, Story
from kubeherd.chaos.users import Users
from kubeherd.checks.checker import Checked, Make, Verdict, Watcher
from kubeherd.checks.live import Live
from kubeherd.checks.liveness.quiet import changes
from kubeherd.checks.objects import going
from kubeherd.checks.writes import NOISE
from kubeherd.cluster.api.errors import ApiError
from kubeherd.cluster.client.transport import TransportError
from kubeherd.faults import Component, Fault, FaultError, Nodes, Target, effects
from kubeherd.history import HEAL, QUIET, SETTLED, Ended, Heartbeat, Record, Step, Violation, Write

LOOK_S = 1.0
"""How often it is asked whether the cluster has settled."""
STILL_S = 20.0
"""For so long nothing must be written any more, once all has converged."""

QUIET_S = 2.0
"""Nothing was written for so long: only then it can have settled."""

UNSPED_S = 60.0
"""Waits for a cluster to settle are not made shorter than so many real seconds by its speed: work
takes the time that it takes, and on a busy machine more."""


class NotSteady(Exception):
    """The cluster was not as wanted before anything was hurt."""


class Run:
    """One run of one experiment."""

    def __init__(
        self,
        experiment: Experiment,
        arena: Arena,
        *,
        seed: int,
        safety: Iterable[Make],
        liveness: Iterable[Make],
        required: Sequence[str] = (),
        heard: Callable[[Record], None] = lambda _record: None,
    ) -> None:
        """`heard` is given every record, with violations among them, as they come."""
        self._experiment = experiment
        self._arena = arena
        self._seed = seed
        self._rng = chance(seed)
        self._actions = script(experiment, self._rng)
        live = Live()
        self._live = live
        self._safety = Watcher(safety, live)
        self._liveness = Watcher(liveness, live)
        self._required = required
        self._heard = heard
        self._records = 0
        self._last_write_s = 0.0
        self._now = 0.0
        self._faults: dict[str, Fault] = {}
        self._begun: list[Fault] = []
        self._skipped = 0
        self._ends: list[tuple[float, str]] = []
        self._armed: list[tuple[int, Injection]] = []
        """What begins at the write of this number."""
        self._writes = 0
        self._done: list[str] = []
        self._tasks: asyncio.TaskGroup
        self._users = Users(arena)
        self._seen = Seen()
        self._story = Story()
        self._unheard: set[str] = set()
        """Nodes whose heartbeat has not been heard since everything was healed."""
        self._started_s = 0.0
        self._over = False

    async def run(self) -> Outcome:
        """The outcome; never raises for what the experiment does to the cluster."""
        problem, settled_after_s = "", None
        try:
            await self._begin()
            await self._hurt()
            settled_after_s = await self._heal()
        except NotSteady as error:
            problem = str(error)
        finally:
            for fault_id in list(self._faults):
                await self._undo(fault_id)
        ended = Ended(at=self._arena.wall_s())
        for watcher in (self._safety, self._liveness):
            self._judge(watcher.see(ended))
            self._judge(watcher.end())
        self._heard(ended)
        self._over = True
        checked: list[Checked] = [*self._safety.verdict.checked, *self._liveness.verdict.checked]
        return Outcome(
            experiment=self._experiment.name,
            seed=self._seed,
            verdict=Verdict(checked),
            done=self._done,
            faults=self._begun,
            skipped=self._skipped,
            records=self._records,
            settled_after_s=settled_after_s,
            problem=problem,
            required=self._required,
            story=self._story.lines,
        )

    # --- the course of it ---

    async def _begin(self) -> None:
        self._arena.follow(self._see)
        self._started_s = self._arena.now_s()
        await self._users.deal_zones(sorted(self._seen.labels), self._experiment.cluster.zones)
        for tree in self._experiment.workload:
            await self._users.apply(tree)
        within_s = self._experiment.ready_within_s
        if await self._settles(within_s) is None:
            waited_s = self._unsped_s(within_s)
            why = "; ".join(self._unsettled()[:3]) or "it goes on writing"
            raise NotSteady(f"the cluster was not steady within {waited_s:g} s: {why}")
        self._tell(Step(at=self._arena.wall_s(), name="steady", text="the steady state holds"))

    async def _hurt(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._follow_script()
            self._ends.clear()
            self._armed.clear()
            for fault_id in list(self._faults):
                tasks.create_task(self._undo(fault_id))  # what is undone may wait for the others

    async def _follow_script(self) -> None:
        started_s = self._arena.now_s()
        end_s = started_s + self._experiment.duration_s
        for action in self._actions:
            await self._until(min(end_s, started_s + action.at_s))
            if isinstance(action, Doing):
                self._tasks.create_task(self._do(action.do))
            elif action.after_writes:
                self._armed.append((self._writes + action.after_writes, action))
            else:
                await self._inject(action)
        await self._until(end_s)

    async def _do(self, step: Do) -> None:
        """Users do not wait for each other."""
        try:
            self._note(await self._users.do(step, self._free_nodes()))
        except (ApiError, TransportError, ArenaError) as error:
            self._note(f"failed: {step}: {error}")

    async def _heal(self) -> float | None:
        self._tell(Step(at=self._arena.wall_s(), name=HEAL, text="everything is healed"))
        # Until its next heartbeat a node that was silent may still be found to be.
        self._unheard = set(self._seen.labels)
        settled_after_s = await self._settles(
            self._experiment.heals_within_s, self._unsped_s(QUIET_S)
        )
        if settled_after_s is not None:
            self._tell(Step(at=self._arena.wall_s(), name=QUIET, text="all has converged"))
            await self._arena.sleep(STILL_S)
        self._tell(
            Step(at=self._arena.wall_s(), name=SETTLED, text="the time for convergence is over")
        )
        return settled_after_s

    async def _until(self, moment_s: float) -> None:
        """Wait, and undo meanwhile what has lasted long enough."""
        while True:
            due_s, fault_id = min(self._ends, default=(moment_s, ""))
            await self._arena.sleep(max(0.0, min(due_s, moment_s) - self._arena.now_s()))
            if not fault_id or due_s > moment_s:
                return
            self._ends.remove((due_s, fault_id))
            self._tasks.create_task(self._undo(fault_id))  # a process takes its time to start

    async def _settles(self, within_s: float, quiet_s: float = QUIET_S) -> float | None:
        """Wait until what must hold at the end holds, every node was heard, nothing is written, and
        no pod is being deleted, of which its agent will still write;
        None if it takes longer."""
        started_s = self._arena.now_s()
        while (now_s := self._arena.now_s()) - started_s <= self._unsped_s(within_s):
            quiet = now_s - self._last_write_s >= quiet_s
            if quiet and not (self._waited_for() or self._ending() or self._unsettled()):
                return now_s - started_s
            await self._arena.sleep(LOOK_S)
        return None

    def _unsped_s(self, span_s: float) -> float:
        """A wait in nominal seconds of the cluster's speed, see `UNSPED_S`."""
        return max(span_s, min(span_s, UNSPED_S) * self._seen.speed)

    def _waited_for(self) -> set[str]:
        """The nodes that there still are and that have not been heard."""
        return self._unheard.intersection(self._seen.labels)

    def _ending(self) -> bool:
        """Whether a pod is being deleted."""
        return any(map(going, self._live.all("pods").values()))

    def _unsettled(self) -> list[str]:
        """What would be wrong if the time for convergence were over now."""
        return [one.text for one in self._liveness.trial(Step(at=self._now, name=SETTLED))]

    # --- faults ---

    async def _inject(self, action: Injection) -> None:
        target = self._target(action)
        if target is None:
            whom = f" {action.whom.component}" if action.whom.component else ""
            self._skipped += 1
            self._note(f"skipped: {action.effect.kind}{whom}: whom it is for is hurt already")
            return
        fault = Fault(id=action.id, target=target, effect=action.effect, at=self._arena.wall_s())
        try:
            await self._arena.begin(fault)
        except FaultError as error:
            self._note(f"could not begin: {fault}: {error}")
            return
        self._begun.append(fault)
        self._note(f"began: {fault}" + (f" for {action.for_s:.1f} s" if action.for_s else ""))
        if fault.undoable:
            self._faults[fault.id] = fault
            if action.for_s is not None:
                self._ends.append((self._arena.now_s() + action.for_s, fault.id))

    def _strike(self) -> None:
        """One more write: begin what waited for it."""
        self._writes += 1
        due = [one for one in self._armed if one[0] <= self._writes]
        for one in due:
            self._armed.remove(one)
            self._tasks.create_task(self._inject(one[1]))

    async def _undo(self, fault_id: str) -> None:
        fault = self._faults.pop(fault_id, None)
        if fault is None:
            return
        try:
            await self._arena.undo(fault_id)
        except FaultError as error:
            self._note(f"could not undo: {fault}: {error}")
        else:
            self._note(f"undone: {fault}")

    def _target(self, action: Injection) -> Target | None:
        """Who is hurt; None if nobody is left."""
        whom = action.whom
        if whom.clients is not None:
            return whom.clients
        if whom.nodes is None:
            name = self._leader() if whom.component == "leader" else whom.component
            of_process = isinstance(action.effect, effects.PROCESS)
            return None if of_process and self._is_struck(name) else Component(name)
        luck = self._rng.child(f"draw/{action.number}")
        names = draw(whom.nodes, self._seen.labels, self._hurt_nodes(), luck)
        return Nodes(names) if names else None

    def _free_nodes(self) -> list[str]:
        hurt = self._hurt_nodes()
        return [name for name in sorted(self._seen.labels) if name not in hurt]

    def _hurt_nodes(self) -> list[str]:
        return [
            name
            for fault in self._faults.values()
            if isinstance(fault.target, Nodes)
            for name in fault.target.names
        ]

    def _is_struck(self, component: str) -> bool:
        """Whether its process is down or frozen: nothing more can be done to it."""
        return any(
            fault.target == Component(component) and isinstance(fault.effect, effects.PROCESS)
            for fault in self._faults.values()
        )

    def _leader(self) -> str:
        """The process that leads; the first controller manager if nobody does."""
        return self._arena.process_of(self._seen.leader)

    # --- the history ---

    def _see(self, record: Record) -> None:
        if self._over:
            return  # how the cluster is taken down is no part of the run
        self._records += 1
        self._now = max(self._now, record.at)
        if isinstance(record, Heartbeat) and self._seen.hears(record):
            self._unheard.discard(record.node)
        self._seen.see(record)
        if isinstance(record, Write):
            before = self._live.take(record)
            if not record.restored and record.resource not in NOISE:
                if changes(record, before):
                    self._last_write_s = self._arena.now_s()
                self._strike()
        self._heard(record)
        self._story.see(record)
        self._judge(self._safety.see(record))
        self._judge(self._liveness.see(record))

    def _tell(self, record: Record) -> None:
        self._arena.tell(record)

    def _judge(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            self._heard(violation)
            self._story.end(violation)

    def _note(self, text: str) -> None:
        self._done.append(f"{self._arena.now_s() - self._started_s:7.1f} s  {text}")
        self._tell(Step(at=self._arena.wall_s(), name="did", text=text))
