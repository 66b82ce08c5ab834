"""The client libraries as `client_story` wants them: one small adapter each."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import httpx
import kr8s.asyncio
import kubernetes
import kubernetes_asyncio.client
import kubernetes_asyncio.watch
import lightkube
import lightkube.generic_resource
import lightkube.models.meta_v1
import lightkube.models.policy_v1
import lightkube.resources.admissionregistration_v1
import lightkube.resources.apiextensions_v1
import lightkube.resources.core_v1
import lightkube.resources.policy_v1
from client_story import PODS, Kind, Labels, Refused, Tree
from kr8s.asyncio.objects import APIObject, new_class
from lightkube.types import PatchType

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
API_CLASSES = {
    "": "CoreV1Api",
    "policy": "PolicyV1Api",
    "apiextensions.k8s.io": "ApiextensionsV1Api",
    "admissionregistration.k8s.io": "AdmissionregistrationV1Api",
}


class Generated:
    """The two clients that are generated from OpenAPI have the same methods: typed ones for
    built-in kinds, `CustomObjectsApi` for the others."""

    def __init__(self, api_client: Any, namespace: str) -> None:
        self._api_client = api_client
        self._made: Any = kubernetes
        self.namespace = namespace

    async def create(self, kind: Kind, tree: Tree) -> Tree:
        return await self._call("create", kind, body=tree)

    async def get(self, kind: Kind, name: str) -> Tree:
        return await self._call("read" if kind.snake else "get", kind, name)

    async def names(self, kind: Kind, labels: Labels) -> list[str]:
        found = await self._call("list", kind, label_selector=selector(labels))
        return [item["metadata"]["name"] for item in found["items"]]

    async def replace(self, kind: Kind, tree: Tree) -> Tree:
        return await self._call("replace", kind, tree["metadata"]["name"], body=tree)

    async def patch(self, kind: Kind, name: str, patch: Tree) -> Tree:
        return await self._call("patch", kind, name, body=patch, _content_type=MERGE)

    async def apply(self, kind: Kind, tree: Tree, manager: str, *, force: bool) -> Tree:
        options = {"field_manager": manager, "force": force, "_content_type": APPLY}
        return await self._call("patch", kind, tree["metadata"]["name"], body=tree, **options)

    async def delete(self, kind: Kind, name: str) -> None:
        await self._call("delete", kind, name)

    async def evict(self, pod: str) -> None:
        core = self._made.client.CoreV1Api(self._api_client)
        eviction = {"metadata": {"name": pod, "namespace": self.namespace}}
        with generated_errors(self._made.client.ApiException):
            await self._run(core.create_namespaced_pod_eviction, pod, self.namespace, eviction)

    async def _call(
        self, verb: str, kind: Kind, name: str = "", body: Tree | None = None, **options: Any
    ) -> Tree:
        function = self._function(verb, kind)
        where = (self.namespace,) if kind.namespaced else ()
        names = (name,) if name else ()
        bodies = () if body is None else (body,)
        if kind.snake:
            arguments = (*names, *where, *bodies)
        else:
            arguments = (kind.group, kind.version, *where, kind.plural, *names, *bodies)
        with generated_errors(self._made.client.ApiException):
            answer = await self._run(function, *arguments, **options)
        plain: Tree = self._api_client.sanitize_for_serialization(answer)
        return plain

    def _function(self, verb: str, kind: Kind) -> Callable[..., Any]:
        api = API_CLASSES[kind.group] if kind.snake else "CustomObjectsApi"
        scope = "namespaced_" if kind.namespaced else ""
        name = f"{verb}_{scope}{kind.snake or 'custom_object'}"
        function: Callable[..., Any] = getattr(
            getattr(self._made.client, api)(self._api_client), name
        )
        return function

    async def _run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError


def selector(labels: Labels) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


@contextmanager
def generated_errors(
    exception: type[kubernetes.client.ApiException] | type[kubernetes_asyncio.client.ApiException],
) -> Iterator[None]:
    try:
        yield
    except exception as error:
        raise Refused(error.status, str(error.body)) from error


class Kubernetes(Generated):
    """The official client, which blocks: every call in a thread."""

    async def _run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(function, *arguments, **options)

    async def watch(
        self, kind: Kind, labels: Labels, revision: str
    ) -> AsyncGenerator[tuple[str, Tree]]:
        events = kubernetes.watch.Watch().stream(
            self._function("list", kind),
            self.namespace,
            label_selector=selector(labels),
            resource_version=revision,
        )
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event["type"], event["raw_object"]


class KubernetesAsyncio(Generated):
    def __init__(self, api_client: Any, namespace: str) -> None:
        super().__init__(api_client, namespace)
        self._made = kubernetes_asyncio

    async def _run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return await function(*arguments, **options)

    async def watch(
        self, kind: Kind, labels: Labels, revision: str
    ) -> AsyncGenerator[tuple[str, Tree]]:
        async with kubernetes_asyncio.watch.Watch() as watch:
            async for event in watch.stream(
                self._function("list", kind),
                self.namespace,
                label_selector=selector(labels),
                resource_version=revision,
            ):
                yield event["type"], event["raw_object"]


class Kr8s:
    """kr8s has no word for apply and eviction: those are requests of its API object."""

    def __init__(self, api: kr8s.asyncio.Api, namespace: str) -> None:
        self._api = api
        self._classes = dict[Kind, type[APIObject]]()
        self.namespace = namespace

    async def create(self, kind: Kind, tree: Tree) -> Tree:
        obj = await self._object(kind, tree)
        with kr8s_errors():
            await obj.create()
        return obj.raw.to_dict()

    async def get(self, kind: Kind, name: str) -> Tree:
        obj = await self._object(kind, kind.named(name))
        with kr8s_errors():
            await obj.refresh()
        return obj.raw.to_dict()

    async def names(self, kind: Kind, labels: Labels) -> list[str]:
        found = self._api.get(self._class(kind), namespace=self.namespace, label_selector=labels)
        return [obj.name async for obj in found if isinstance(obj, APIObject)]

    async def replace(self, kind: Kind, tree: Tree) -> Tree:
        return await self._request("PUT", kind, tree["metadata"]["name"], tree)

    async def patch(self, kind: Kind, name: str, patch: Tree) -> Tree:
        obj = await self._object(kind, kind.named(name))
        with kr8s_errors():
            await obj.patch(patch)
        return obj.raw.to_dict()

    async def apply(self, kind: Kind, tree: Tree, manager: str, *, force: bool) -> Tree:
        return await self._request(
            "PATCH",
            kind,
            tree["metadata"]["name"],
            tree,
            params={"fieldManager": manager, "force": str(force).lower()},
            headers={"Content-Type": APPLY},
        )

    async def delete(self, kind: Kind, name: str) -> None:
        obj = await self._object(kind, kind.named(name))
        with kr8s_errors():
            await obj.delete()

    async def evict(self, pod: str) -> None:
        metadata = {"name": pod, "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        await self._request("POST", PODS, f"{pod}/eviction", eviction)

    async def watch(
        self, kind: Kind, labels: Labels, revision: str
    ) -> AsyncGenerator[tuple[str, Tree]]:
        watched = self._api.watch(
            kind.plural, namespace=self.namespace, label_selector=labels, since=revision
        )
        async with aclosing(watched) as events:
            async for event, obj in events:
                yield event, obj.raw.to_dict()

    def _class(self, kind: Kind) -> type[APIObject]:
        if kind not in self._classes:
            self._classes[kind] = new_class(
                kind.kind, kind.api_version, namespaced=kind.namespaced, plural=kind.plural
            )
        return self._classes[kind]

    async def _object(self, kind: Kind, tree: Tree) -> APIObject:
        namespace = self.namespace if kind.namespaced else None
        made: APIObject = await self._class(kind)(tree, namespace=namespace, api=self._api)
        return made

    async def _request(
        self, method: str, kind: Kind, path: str, body: Tree, **options: Any
    ) -> Tree:
        with kr8s_errors():
            async with self._api.call_api(
                method,
                version=kind.api_version,
                namespace=self.namespace,
                url=f"{kind.plural}/{path}",
                content=json.dumps(body),
                **options,
            ) as answer:
                tree: Tree = answer.json()
                return tree


@contextmanager
def kr8s_errors() -> Iterator[None]:
    try:
        yield
    except (kr8s.ServerError, kr8s.NotFoundError) as error:
        answered = error if isinstance(error, kr8s.ServerError) else error.__cause__
        assert isinstance(answered, kr8s.ServerError | httpx.HTTPStatusError), answered
        assert answered.response is not None
        raise Refused(answered.response.status_code, answered.response.text) from error


class Lightkube:
    _BUILT_IN = (
        lightkube.resources.admissionregistration_v1.ValidatingWebhookConfiguration,
        lightkube.resources.apiextensions_v1.CustomResourceDefinition,
        lightkube.resources.core_v1.ConfigMap,
        lightkube.resources.core_v1.Pod,
        lightkube.resources.policy_v1.PodDisruptionBudget,
    )

    def __init__(self, client: lightkube.AsyncClient, namespace: str) -> None:
        self._client = client
        self._custom = dict[Kind, Any]()
        self.namespace = namespace

    async def create(self, kind: Kind, tree: Tree) -> Tree:
        with lightkube_errors():
            return plain(await self._client.create(self._class(kind).from_dict(tree)))

    async def get(self, kind: Kind, name: str) -> Tree:
        with lightkube_errors():
            return plain(await self._client.get(self._class(kind), name))

    async def names(self, kind: Kind, labels: Labels) -> list[str]:
        found = self._client.list(self._class(kind), labels={**labels})
        return [obj.metadata.name async for obj in found]

    async def replace(self, kind: Kind, tree: Tree) -> Tree:
        with lightkube_errors():
            return plain(await self._client.replace(self._class(kind).from_dict(tree)))

    async def patch(self, kind: Kind, name: str, patch: Tree) -> Tree:
        with lightkube_errors():
            return plain(
                await self._client.patch(self._class(kind), name, patch, patch_type=PatchType.MERGE)
            )

    async def apply(self, kind: Kind, tree: Tree, manager: str, *, force: bool) -> Tree:
        with lightkube_errors():
            obj = self._class(kind).from_dict(tree)
            return plain(await self._client.apply(obj, field_manager=manager, force=force))

    async def delete(self, kind: Kind, name: str) -> None:
        with lightkube_errors():
            await self._client.delete(self._class(kind), name)

    async def evict(self, pod: str) -> None:
        metadata = lightkube.models.meta_v1.ObjectMeta(name=pod, namespace=self.namespace)
        eviction = lightkube.resources.core_v1.PodEviction(metadata=metadata)
        with lightkube_errors():
            await self._client.create(eviction, pod)

    async def watch(
        self, kind: Kind, labels: Labels, revision: str
    ) -> AsyncGenerator[tuple[str, Tree]]:
        async for event, obj in self._client.watch(
            self._class(kind), labels={**labels}, resource_version=revision
        ):
            yield event, plain(obj)

    def _class(self, kind: Kind) -> Any:
        if kind.snake:
            return next(found for found in self._BUILT_IN if found.__name__ == kind.kind)
        if kind not in self._custom:
            self._custom[kind] = lightkube.generic_resource.create_namespaced_resource(
                kind.group, kind.version, kind.kind, kind.plural
            )
        return self._custom[kind]


def plain(obj: Any) -> Tree:
    tree: Tree = obj.to_dict()
    return tree


@contextmanager
def lightkube_errors() -> Iterator[None]:
    try:
        yield
    except lightkube.ApiError as error:
        code = error.status.code or error.response.status_code
        raise Refused(code, error.response.text) from error
