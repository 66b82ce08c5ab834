"""etcd's messages, as generated from its own definitions: those that aetcd brings."""

import os

# gRPC reads these when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by us, once
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # who forks here executes at once

from aetcd import rpc

__all__ = ["rpc"]
