"""What an experiment needs of a cluster, real or simulated: one interface for both.

The runner knows nothing else, so the same file runs on real processes and on virtual time.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from kubeherd.cluster.client.client import ApiClient
from kubeherd.faults import Fault
from kubeherd.history import Record


class ArenaError(Exception):
    """The cluster could not be brought to do what users want of it: a line for a person."""


class Arena(Protocol):
    """A running cluster that can be hurt. Times are nominal seconds."""

    client: ApiClient
    """The experiment's own, with all rights; no fault hurts it."""

    def now_s(self) -> float:
        """Nominal seconds since some moment."""

    async def sleep(self, duration_s: float) -> None:
        """Wait so many nominal seconds."""

    async def add_nodes(self, names: Sequence[str]) -> None:
        """Start agents for these nodes; returns at once. ArenaError."""

    async def remove_node(self, name: str) -> None:
        """Stop a node's agent and delete its Node. ArenaError."""

    async def begin(self, fault: Fault) -> None:
        """The fault is in force when this returns. FaultError if it cannot be."""

    async def undo(self, fault_id: str) -> None:
        """The fault is over when this returns; one that is not there (any more) is no error.
        FaultError if what it hurt does not come back."""

    def process_of(self, identity: str) -> str:
        """The process that holds a lease under this identity; ``controller-manager`` if none."""

    def wall_s(self) -> float:
        """Seconds since the epoch, by the clock of the history's records."""

    def tell(self, record: Record) -> None:
        """Put a record of the experiment into the history, after all that is known by now."""

    def follow(self, tell: Callable[[Record], None]) -> None:
        """From now on give each record of the history to `tell`, in order, as soon as it is known;
        what exists already comes first, as `restored` writes."""
