"""etcd's messages and stubs, as generated from its own definitions: those that aetcd brings.

Importing this raises StoreError where they are not installed.
"""

import os

from kubeherd.cluster.store.engine import StoreError

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by us, once
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # who forks here executes at once

try:
    from aetcd import rpc
    from grpc import ChannelConnectivity, ssl_channel_credentials
    from grpc.aio import EOF, AioRpcError, Channel
except ImportError as error:
    raise StoreError(
        f"the store etcd needs a client for it ({error}): pip install 'kubeherd[etcd]'"
    ) from error

__all__ = ["EOF", "AioRpcError", "Channel", "ChannelConnectivity", "rpc", "ssl_channel_credentials"]
