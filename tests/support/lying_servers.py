"""The parent of API servers (`kills.server.zygote`) that break one promise of a shared store.

python tests/support/lying_servers.py LIE
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from kills import server as kill_server

from kubeherd.cluster.store.etcd import engine
from kubeherd.cluster.store.etcd.messages import rpc as messages
from kubeherd.cluster.store.shared import SharedStore

STALE, OVERWRITING = "stale", "overwriting"


def read_what_is_there() -> None:
    """Whatever this server has seen is new enough for its readers."""

    async def fresh(_self: SharedStore) -> None:
        return

    setattr(SharedStore, "fresh", fresh)  # noqa: B010 - mypy wants no method replaced


def write_over_everything() -> None:
    """Whatever others have made of an object since, a write replaces it."""

    class Unconditional:
        def __getattr__(self, name: str) -> Any:
            return getattr(messages, name)

        def TxnRequest(self, compare: object, success: object) -> Any:  # noqa: N802 - etcd's name
            return messages.TxnRequest(success=success)

    setattr(engine, "rpc", Unconditional())  # noqa: B010 - it is no name for others


if __name__ == "__main__":
    {STALE: read_what_is_there, OVERWRITING: write_over_everything}[sys.argv[1]]()
    sys.exit(kill_server.zygote())
