"""Python clients, each keeping a mirror of the pods of a namespace in its library's way and
writing objects by single calls: what `clients_under_faults.py` hurts.

A mirror is name to uid. Every client has a User-Agent of its own, by which faults find it.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import kr8s
import kubernetes
import kubernetes_asyncio
from kr8s.asyncio.objects import ConfigMap
from kubernetes.informer import SharedInformer

import kubeherd

NAMESPACE = "default"
CALL_TIMEOUT_S = 1.0
STOP_TIMEOUT_S = 5.0
PAUSE_S = 0.1
"""Between an error and the next attempt to follow."""

Mirror = dict[str, str]
Tree = dict[str, Any]


class Client(Protocol):
    """A library at work."""

    agent: str
    version: str
    errors: Counter[str]
    """What the mirror had to survive, by class or HTTP status."""
    call_timeout_s: float
    """After which an attempt of a call is given up."""

    @property
    def mirror(self) -> Mapping[str, str]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def create(self, tree: Tree) -> None: ...
    async def replace(self, tree: Tree) -> None: ...
    async def delete(self, name: str) -> None: ...


def told(mirror: Mirror, event: str, name: str, uid: str) -> None:
    """Bring a mirror up to date with an event."""
    if event == "DELETED":
        mirror.pop(name, None)
    else:
        mirror[name] = uid


def said(error: BaseException) -> str:
    """An error in a word: the status of an answer, or what kind of error it is."""
    status = getattr(error, "status", None)
    if isinstance(error, kr8s.ServerError) and error.response is not None:
        status = error.response.status_code
    if isinstance(error, kr8s.NotFoundError):
        status = 404
    return str(status) if isinstance(status, int) and status else type(error).__name__


def _identity(metadata: kubernetes.client.V1ObjectMeta | None) -> tuple[str, str]:
    """Name and uid, which every object that a server told of has."""
    if metadata is None or metadata.name is None or metadata.uid is None:
        raise ValueError(f"an object without name or uid: {metadata}")
    return metadata.name, metadata.uid


class _Official:
    """What is common to the two ways of the official client: its calls."""

    def __init__(self, kubeconfig: Path, agent: str) -> None:
        self.agent = agent
        self.version = f"kubernetes {kubernetes.__version__}"
        self.errors = Counter[str]()
        self.call_timeout_s = CALL_TIMEOUT_S
        self._api = kubeherd.clients.kubernetes(kubeconfig)
        self._api.user_agent = agent
        self._core = kubernetes.client.CoreV1Api(self._api)

    async def create(self, tree: Tree) -> None:
        await self._call(self._core.create_namespaced_config_map, NAMESPACE, tree)

    async def replace(self, tree: Tree) -> None:
        name = tree["metadata"]["name"]
        await self._call(self._core.replace_namespaced_config_map, name, NAMESPACE, tree)

    async def delete(self, name: str) -> None:
        await self._call(self._core.delete_namespaced_config_map, name, NAMESPACE)

    async def _call(self, function: Callable[..., object], *arguments: object) -> None:
        await asyncio.to_thread(function, *arguments, _request_timeout=self.call_timeout_s)


class OfficialInformer(_Official):
    """`kubernetes.informer.SharedInformer`."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig, "informer")
        pods = self._core.list_namespaced_pod
        self._informer = SharedInformer(list_func=pods, namespace=NAMESPACE)
        self._informer.add_event_handler("ERROR", self._failed)

    def _failed(self, error: BaseException) -> None:
        self.errors[said(error)] += 1

    @property
    def mirror(self) -> Mirror:
        return {pod.metadata.name: pod.metadata.uid for pod in self._informer.cache.list()}

    async def start(self) -> None:
        self._informer.start()

    async def stop(self) -> None:
        """Given up after a while: `stop` hangs if it comes between two watches (kubernetes 37)."""
        stopping = threading.Thread(target=self._informer.stop, daemon=True)
        stopping.start()
        await asyncio.to_thread(stopping.join, STOP_TIMEOUT_S)
        if stopping.is_alive():
            self.errors["stop hangs"] += 1
        self._api.close()


class OfficialWatch(_Official):
    """`kubernetes.watch.Watch` in a loop: list, watch from there, and after an error again."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig, "watch")
        self.mirror: Mirror = {}
        self._over = threading.Event()
        self._watch = kubernetes.watch.Watch()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self) -> None:
        pods = self._core.list_namespaced_pod
        while not self._over.is_set():
            try:
                found = pods(NAMESPACE)
                self.mirror = dict(_identity(pod.metadata) for pod in found.items)
                since = found.metadata and found.metadata.resource_version
                for event in self._watch.stream(pods, NAMESPACE, resource_version=since):
                    told(self.mirror, event["type"], *_identity(event["object"].metadata))
            except Exception as error:  # the next list makes up for any
                self.errors[said(error)] += 1
                self._over.wait(PAUSE_S)

    async def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._over.set()
        self._watch.stop()
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)
        self._api.close()


class _Following:
    """A mirror that is kept by a task: `_follow` runs again after each end and error."""

    def __init__(self, agent: str, version: str) -> None:
        self.agent = agent
        self.version = version
        self.mirror: Mirror = {}
        self.errors = Counter[str]()
        self.call_timeout_s = CALL_TIMEOUT_S
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:  # the next list makes up for any
                self.errors[said(error)] += 1
            await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        raise NotImplementedError

    async def _call(self, call: Awaitable[object]) -> None:
        async with asyncio.timeout(self.call_timeout_s):
            await call


def _config_map(tree: Tree) -> kubernetes_asyncio.client.V1ConfigMap:
    metadata = tree["metadata"]
    return kubernetes_asyncio.client.V1ConfigMap(
        api_version=tree["apiVersion"],
        kind=tree["kind"],
        metadata=kubernetes_asyncio.client.V1ObjectMeta(
            name=metadata["name"], resource_version=metadata.get("resourceVersion")
        ),
        data=tree["data"],
    )


class AsyncioWatch(_Following):
    """`kubernetes_asyncio.watch.Watch` in a loop, as `OfficialWatch`."""

    def __init__(self, kubeconfig: Path) -> None:
        version = f"kubernetes_asyncio {kubernetes_asyncio.__version__}"
        super().__init__("asyncio-watch", version)
        self._kubeconfig = kubeconfig

    async def start(self) -> None:
        self._api = await kubeherd.clients.kubernetes_asyncio(self._kubeconfig)
        self._api.user_agent = self.agent
        self._core = kubernetes_asyncio.client.CoreV1Api(self._api)
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self._api.close()

    async def _follow(self) -> None:
        pods = self._core.list_namespaced_pod
        found = await pods(NAMESPACE)
        self.mirror = {pod.metadata.name: pod.metadata.uid for pod in found.items}
        since = found.metadata.resource_version
        async with kubernetes_asyncio.watch.Watch() as watch:
            async for event in watch.stream(pods, NAMESPACE, resource_version=since):
                metadata = event["object"].metadata
                told(self.mirror, event["type"], metadata.name, metadata.uid)

    async def create(self, tree: Tree) -> None:
        await self._call(self._core.create_namespaced_config_map(NAMESPACE, _config_map(tree)))

    async def replace(self, tree: Tree) -> None:
        made, name = _config_map(tree), tree["metadata"]["name"]
        await self._call(self._core.replace_namespaced_config_map(name, NAMESPACE, made))

    async def delete(self, name: str) -> None:
        await self._call(self._core.delete_namespaced_config_map(name, NAMESPACE))


class Kr8s(_Following):
    """`kr8s.asyncio`: a watch without a revision, which begins with what there is; kr8s does not
    tell the revision of a list."""

    def __init__(self, kubeconfig: Path, agent: str = "kr8s-watch") -> None:
        super().__init__(agent, f"kr8s {kr8s.__version__}")
        self._newest: str | None = None
        self._kubeconfig = kubeconfig
        self.watches = Counter[str]()
        """Requests for watches, by the revision from which they were to go on."""

    async def start(self) -> None:
        self._api = await kubeherd.clients.kr8s_async(self._kubeconfig)
        await self._api._create_session()  # there is no other way to its headers
        session = self._api._session
        if session is None:
            raise RuntimeError("kr8s made no session")
        session.headers["User-Agent"] = self.agent
        session.event_hooks["request"].append(self._sent)
        await super().start()

    async def _sent(self, request: httpx.Request) -> None:
        if "watch" in request.url.params:
            self.watches[request.url.params.get("resourceVersion", "")] += 1

    async def stop(self) -> None:
        await super().stop()
        if self._api._session is not None:
            await self._api._session.aclose()

    async def _follow(self) -> None:
        self.mirror = {}
        await self._told(self._api.watch("pods", namespace=NAMESPACE))

    async def _told(self, events: AsyncGenerator[tuple[str, Any]]) -> None:
        async for event, pod in events:
            told(self.mirror, event, pod.metadata.name, pod.metadata.uid)
            self._newest = pod.metadata.resourceVersion

    async def create(self, tree: Tree) -> None:
        config_map = await ConfigMap({**tree, "kind": "ConfigMap"}, NAMESPACE, api=self._api)
        await self._call(config_map.create())

    async def replace(self, tree: Tree) -> None:
        path = f"configmaps/{tree['metadata']['name']}"
        await self._call(self._sent_call("PUT", path, tree))

    async def delete(self, name: str) -> None:
        await self._call(self._sent_call("DELETE", f"configmaps/{name}", {}))

    async def _sent_call(self, method: str, path: str, tree: Tree) -> None:
        call = self._api.call_api(method, url=path, namespace=NAMESPACE, json=tree)
        async with call:
            pass


class Kr8sSince(Kr8s):
    """The same, but a watch that ended is resumed with `since`."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig, "kr8s-since")

    async def _follow(self) -> None:
        await self._told(self._api.watch("pods", namespace=NAMESPACE, since=self._newest))
