"""Asynchronous clients as context managers: made in the event loop of the test, closed in it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from kubeherd import clients


@asynccontextmanager
async def _kubernetes_asyncio(kubeconfig: Path) -> AsyncIterator[Any]:
    async with await clients.kubernetes_asyncio(kubeconfig) as api_client:
        yield api_client


@asynccontextmanager
async def _kr8s(kubeconfig: Path) -> AsyncIterator[Any]:
    yield await clients.kr8s_async(kubeconfig)  # the library has no way to close it


@asynccontextmanager
async def _lightkube(kubeconfig: Path) -> AsyncIterator[Any]:
    client = clients.lightkube_async(kubeconfig)
    try:
        yield client
    finally:
        await client.close()


_OPENERS = {
    "kubernetes-asyncio": ("kubernetes_asyncio", _kubernetes_asyncio),
    "kr8s": ("kr8s", _kr8s),
    "lightkube": ("lightkube", _lightkube),
}


def opened(package: str, kubeconfig: Path) -> AbstractAsyncContextManager[Any]:
    """An async context manager around the client of a library; MissingLibrary without it."""
    module, opener = _OPENERS[package]
    clients.require(module, package)
    return opener(kubeconfig)
