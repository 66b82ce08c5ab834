"""etcd's messages and stubs, as generated from its own definitions: those that aetcd brings."""

import os

# gRPC reads these when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by us, once
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # who forks here executes at once

from aetcd import rpc
from grpc import ChannelConnectivity, StatusCode, ssl_channel_credentials
from grpc.aio import EOF, AioRpcError, Channel

__all__ = [
    "EOF",
    "AioRpcError",
    "Channel",
    "ChannelConnectivity",
    "StatusCode",
    "rpc",
    "ssl_channel_credentials",
]
