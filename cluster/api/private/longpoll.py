"""What an answer to the private long-poll is known by (ARCHITECTURE.md). Pure.

Events are told in JSON, as the store holds their objects. A server that does not know long-polls
answers the same request with a watch stream, which is JSON, too.
"""

from typing import Final

POLLED: Final = "application/json;poll=1"
"""The content type of an answer in JSON; one in msgpack can be nothing else."""
