"""Ready-made clients of the libraries with which Python programs talk to Kubernetes.

Each function takes the path of a kubeconfig (`Cluster.kubeconfig`) and returns the library's own
client, which belongs to the caller: he closes it where the library has a way to. MissingLibrary,
naming the package, if the library is not installed. No library is imported before it is asked for,
and none is left with changed global settings.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from kubeherd.errors import MissingLibrary

if TYPE_CHECKING:
    import kr8s as kr8s_library
    import kr8s.asyncio as kr8s_asyncio
    import kubernetes as kubernetes_library
    import kubernetes_asyncio as kubernetes_asyncio_library
    import lightkube as lightkube_library

__all__ = [
    "kr8s",
    "kr8s_async",
    "kubernetes",
    "kubernetes_asyncio",
    "lightkube",
    "lightkube_async",
]


def kubernetes(kubeconfig: Path | str) -> "kubernetes_library.client.ApiClient":
    """The ApiClient of the official client: `kubernetes.client.CoreV1Api(api_client)`."""
    client = require("kubernetes.client", "kubernetes")
    config = require("kubernetes.config", "kubernetes")
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return cast("kubernetes_library.client.ApiClient", client.ApiClient(configuration))


async def kubernetes_asyncio(
    kubeconfig: Path | str,
) -> "kubernetes_asyncio_library.client.ApiClient":
    """The ApiClient of kubernetes-asyncio, in the running loop; an async context manager."""
    client = require("kubernetes_asyncio.client", "kubernetes-asyncio")
    config = require("kubernetes_asyncio.config", "kubernetes-asyncio")
    configuration = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return cast("kubernetes_asyncio_library.client.ApiClient", client.ApiClient(configuration))


def kr8s(kubeconfig: Path | str) -> "kr8s_library.Api":
    """The blocking API of kr8s: `api.get("pods")`."""
    return cast("kr8s_library.Api", require("kr8s", "kr8s").api(kubeconfig=str(kubeconfig)))


async def kr8s_async(kubeconfig: Path | str) -> "kr8s_asyncio.Api":
    """The asynchronous API of kr8s: `async for pod in api.get("pods")`."""
    return cast(
        "kr8s_asyncio.Api", await require("kr8s.asyncio", "kr8s").api(kubeconfig=str(kubeconfig))
    )


def lightkube(kubeconfig: Path | str) -> "lightkube_library.Client":
    """The blocking client of lightkube."""
    return cast(
        "lightkube_library.Client",
        require("lightkube", "lightkube").Client(config=_lightkube_config(kubeconfig)),
    )


def lightkube_async(kubeconfig: Path | str) -> "lightkube_library.AsyncClient":
    """The asynchronous client of lightkube."""
    library = require("lightkube", "lightkube")
    return cast(
        "lightkube_library.AsyncClient", library.AsyncClient(config=_lightkube_config(kubeconfig))
    )


def _lightkube_config(kubeconfig: Path | str) -> Any:
    return require("lightkube", "lightkube").KubeConfig.from_file(str(kubeconfig))


def require(module: str, package: str) -> ModuleType:
    """Import a module of a library; MissingLibrary if its package is not installed."""
    top = module.partition(".")[0]
    try:
        importlib.import_module(top)
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise  # the library is there, but broken
        raise MissingLibrary(
            f"the Python package {package} is not installed: pip install {package}"
        ) from None
