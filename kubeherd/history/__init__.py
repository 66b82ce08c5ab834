"""The history of a run: one stream of records, whoever ran the cluster. Pure but for `files`.

Written live, by tests, by experiments and by the simulation; read by checkers, reports and
drawings. docs/reference/history.md documents it, `FORMAT_VERSION` is its version. Imports nothing
of kubeherd but the vocabulary of faults, and anybody may import it.
"""

from kubeherd.history.records import (
    FORMAT_VERSION,
    HEAL,
    QUIET,
    SETTLED,
    Actor,
    Began,
    Ended,
    FaultBegan,
    FaultEnded,
    Heartbeat,
    Leads,
    Process,
    Record,
    Request,
    Speed,
    Step,
    Told,
    Verb,
    Violation,
    Write,
)

__all__ = [
    "FORMAT_VERSION",
    "HEAL",
    "QUIET",
    "SETTLED",
    "Actor",
    "Began",
    "Ended",
    "FaultBegan",
    "FaultEnded",
    "Heartbeat",
    "Leads",
    "Process",
    "Record",
    "Request",
    "Speed",
    "Step",
    "Told",
    "Verb",
    "Violation",
    "Write",
]
