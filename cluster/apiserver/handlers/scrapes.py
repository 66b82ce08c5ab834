"""/metrics/PROCESS: the metrics of the controller manager and the agents.

They have no port of their own. Each answers on a socket in the run directory, and whoever may read
the path (``nonResourceURLs``) is told here what it says.
"""

import asyncio
import re
from pathlib import Path

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse
from kubeherd.cluster.apiserver.edge.routing import METHOD_TEXT
from kubeherd.cluster.runtime.metrics import CONTENT_TYPE
from kubeherd.cluster.runtime.sockets.scraping import scrape

PREFIX = "/metrics/"
TIMEOUT_S = 5.0
"""Of a process that is frozen, in real seconds."""
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


async def answer(request: ApiRequest, run_dir: Path | None) -> ApiResponse:
    """What the process in the path counts; NotFound if there is none of this name."""
    if request.method != "GET":
        raise errors.MethodNotAllowed(METHOD_TEXT, details={})
    name = request.path.removeprefix(PREFIX)
    if run_dir is None or not _NAME.fullmatch(name):
        raise _none(name)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            text = await scrape(run_dir / f"{name}.metrics")
    except TimeoutError:
        raise errors.Timeout(f"process {name!r} does not answer", details={}) from None
    except ConnectionError:
        raise errors.ServiceUnavailable(f"process {name!r} does not run") from None
    except OSError:
        raise _none(name) from None
    return ApiResponse(200, text, CONTENT_TYPE)


def _none(name: str) -> errors.NotFound:
    return errors.NotFound(f"no process {name!r} has metrics here", details={})
