"""The readiness handshake between a parent and the process it starts.

The process writes one JSON line to the descriptor in its environment: facts about itself when it
serves, or the key `error` when it never will (`cluster.runtime.process`); then it closes it. Kept
apart from there so that a parent (the CLI) need not load logging for it.
"""

import json

READY_FD_VARIABLE = "KUBEHERD_READY_FD"
"""In a process's environment: the descriptor to write one JSON line to when it serves."""
SPAWNER_VARIABLE = "KUBEHERD_SPAWNER"
"""In a supervisor's environment: `PID:FD` of the fork server that was forked together with it."""

LINE_BYTES = 65_536
"""The longest line that is read."""
LOCK_FD = 4
"""The descriptor under which a supervisor gets the lock of its directory from whoever starts it."""


def port_in(line: bytes) -> int:
    """The port on which the process that wrote this line serves; 0 if it says none."""
    try:
        facts = json.loads(line)
    except ValueError:
        return 0
    port = facts.get("port", 0) if isinstance(facts, dict) else 0
    return port if isinstance(port, int) else 0


def failure_in(line: bytes) -> str:
    """Why the process that wrote this line will not serve; empty if it serves."""
    try:
        facts = json.loads(line)
    except ValueError:
        return "it ended without saying why"
    return str(facts.get("error", "")) if isinstance(facts, dict) else ""
