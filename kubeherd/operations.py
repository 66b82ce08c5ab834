"""What a cluster's API is asked for, without saying how: shared by `Cluster` and `AsyncCluster`.

An operation is a generator: it yields `Ask` (a request) or `Pause`, is sent the answer to the
request, or has the TransportError of one without an answer thrown into it, and returns its result.
Two drivers run them, one blocking and one in an event loop. Not public.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.errors import Expired, NotFound, ServiceUnavailable, TooManyRequests
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.client.transport import TransportError, TransportResponse, error_of
from kubeherd.conditions import JsonObject
from kubeherd.errors import ConditionTimeout, KubeherdError

APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "kubeherd"
POLL_S = 10.0
RETRY_S = 0.05
ANSWER_MARGIN_S = 30.0
_SEEN_LIMIT = 600
_ESTABLISH_TRIES = 20


class Ask(msgspec.Struct, frozen=True):
    """A request; `timeout_s` is in real seconds."""

    method: str
    path: str
    query: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes | None = None
    content_type: str = ""
    timeout_s: float = ANSWER_MARGIN_S


class Pause(msgspec.Struct, frozen=True):
    """Nothing for so many real seconds."""

    seconds: float


T = TypeVar("T")
Operation: TypeAlias = Generator[Ask | Pause, TransportResponse | None, T]
Objects: TypeAlias = list[JsonObject]


class Wanted(msgspec.Struct, frozen=True):
    """What is waited for: the objects to look at, the question, and words for a person."""

    resource: Resource
    namespace: str
    holds: Callable[[Objects], bool]
    what: str
    describe: Callable[[Objects], str]
    label_selector: str = ""
    field_selector: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The selectors as a query."""
        return _selectors(self.label_selector, self.field_selector)


def resource_of(kind: str) -> Resource:
    """The resource for `Pod`, `pods` or `daemonsets.apps`; KubeherdError for an unknown one."""
    for resource in kinds.ALL:
        if kind in (resource.kind, resource.plural, resource.group_resource):
            return resource
    raise KubeherdError(f'there is no kind "{kind}" in this cluster')


def get(resource: Resource, name: str, namespace: str) -> Operation[JsonObject]:
    """One object; NotFound if there is none."""
    found: JsonObject = yield from _answer(Ask("GET", resource.path(namespace, name)))
    return found


def list_all(
    resource: Resource, namespace: str, label_selector: str, field_selector: str
) -> Operation[Objects]:
    """The objects that the selectors choose."""
    query = _selectors(label_selector, field_selector)
    return (yield from _list(resource, namespace, query))[0]


def apply(manifests: Sequence[JsonObject], namespace: str) -> Operation[Objects]:
    """Apply each on the server's side; the objects as they are then."""
    done = []
    for manifest in manifests:
        try:
            api_version, kind = manifest["apiVersion"], manifest["kind"]
            metadata = manifest["metadata"]
            name = metadata["name"]
        except (KeyError, TypeError) as error:
            raise KubeherdError(
                f"a manifest needs apiVersion, kind and metadata.name: {error} is missing"
            ) from None
        resource = kinds.for_kind(api_version, kind) or (yield from _custom(api_version, kind))
        path = resource.path(metadata.get("namespace") or namespace, name)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        ask = Ask("PATCH", path, query, json.dumps(manifest).encode(), APPLY)
        done.append((yield from _answer(ask)))
    return done


def _custom(api_version: str, kind: str) -> Operation[Resource]:
    """The resource of a custom kind. Its definition may just have been written: it is waited for
    as long as that may take. KubeherdError if there is none."""
    group, _, version = api_version.rpartition("/")
    for _ in range(_ESTABLISH_TRIES if group else 0):
        entries: Objects = []
        with suppress(NotFound):
            entries = (yield from _answer(Ask("GET", f"/apis/{api_version}"))).get("resources", [])
        for entry in entries:
            if entry["kind"] == kind and "/" not in entry["name"]:
                return Resource(
                    group=group,
                    version=version,
                    plural=entry["name"],
                    singular=entry.get("singularName", ""),
                    kind=kind,
                    namespaced=entry["namespaced"],
                    verbs=tuple(entry["verbs"]),
                )
        yield Pause(RETRY_S)
    raise KubeherdError(f'there is no kind "{kind}" of {api_version} in this cluster')


def delete(resource: Resource, name: str, namespace: str) -> Operation[None]:
    """Delete one object; NotFound if there is none."""
    yield from _answer(Ask("DELETE", resource.path(namespace, name)))


def delete_if_there(resource: Resource, name: str, namespace: str) -> Operation[None]:
    """Delete one object; nothing happens if there is none."""
    with suppress(NotFound):
        yield from delete(resource, name, namespace)


def wait(wanted: Wanted, timeout_s: float, now_s: Callable[[], float]) -> Operation[Objects]:
    """The objects, once the condition holds of them. It is looked at after every change of one.

    A server that is away or busy is waited for. ConditionTimeout after `timeout_s` real seconds.
    """
    deadline_s = now_s() + timeout_s
    seen = "the API server did not answer"
    while True:
        try:
            objects, revision = yield from _list(wanted.resource, wanted.namespace, wanted.query)
            if wanted.holds(objects):
                return objects
            seen = wanted.describe(objects)
            left_s = min(POLL_S, deadline_s - now_s())
            if left_s > 0:
                yield from _changed(wanted, revision, left_s)
        except Expired:
            continue  # a server with a memory store began anew
        except (TransportError, ServiceUnavailable, TooManyRequests) as error:
            seen = str(error)
            yield Pause(RETRY_S)
        if now_s() >= deadline_s:
            raise ConditionTimeout(f"{wanted.what}: not within {timeout_s:g} s; {seen}")


def manifests_of(manifest: JsonObject | str | Path) -> Objects:
    """The objects of a mapping, a YAML text or a YAML file. KubeherdError if it is none of them."""
    if isinstance(manifest, dict):
        return [manifest]
    import yaml  # noqa: PLC0415 - who has mappings does not need it

    try:
        text = manifest.read_text(encoding="utf-8") if isinstance(manifest, Path) else manifest
        trees = [tree for tree in yaml.safe_load_all(text) if tree is not None]
    except OSError as error:
        raise KubeherdError(f"cannot read {manifest}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise KubeherdError(f"the manifest is not YAML: {error}") from error
    if not trees or not all(isinstance(tree, dict) for tree in trees):
        raise KubeherdError("the manifest is not a mapping (a Path names a file)")
    return trees


def one(
    resource: Resource,
    name: str,
    namespace: str,
    holds: Callable[[JsonObject], bool],
    what: str,
    describe: Callable[[JsonObject], str] | None = None,
) -> Wanted:
    """Wait for one object to exist and to fulfil `holds`; `what` empty: a general text."""

    def of_it(objects: Objects) -> bool:
        return bool(objects) and bool(holds(objects[0]))

    def text(objects: Objects) -> str:
        if describe is not None and objects:
            return describe(objects[0])
        return _seen(objects)

    what = what or f"{resource.kind} {name} as wanted"
    selector = f"metadata.name={name}"
    return Wanted(resource, namespace, of_it, what, text, field_selector=selector)


def every(
    resource: Resource,
    namespace: str,
    holds: Callable[[Objects], bool],
    what: str,
    label_selector: str = "",
    describe: Callable[[Objects], str] | None = None,
) -> Wanted:
    """Wait for the objects of a kind to fulfil `holds` together; `what` empty: a general text."""
    what = what or f"{resource.plural} as wanted"
    return Wanted(resource, namespace, holds, what, describe or _seen, label_selector)


def gone(resource: Resource, name: str, namespace: str) -> Wanted:
    """Wait for one object not to exist."""
    what = f"{resource.kind} {name} gone"
    selector = f"metadata.name={name}"
    return Wanted(resource, namespace, lambda objs: not objs, what, _seen, field_selector=selector)


def _seen(objects: Objects) -> str:
    if not objects:
        return "there is none"
    if len(objects) > 1:
        names = ", ".join(obj["metadata"]["name"] for obj in objects)
        return f"there are {len(objects)}: {names}"[:_SEEN_LIMIT]
    status = objects[0].get("status", {})
    conditions = [f"{c['type']}={c['status']}" for c in status.get("conditions") or ()]
    shown = ", ".join(conditions) or json.dumps(status)
    return f"{objects[0]['metadata']['name']} is there: {shown}"[:_SEEN_LIMIT]


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in selectors.items() if value}


def _list(
    resource: Resource, namespace: str, query: Mapping[str, str]
) -> Operation[tuple[Objects, str]]:
    tree = yield from _answer(Ask("GET", resource.path(namespace), query))
    return tree["items"], tree["metadata"]["resourceVersion"]


def _changed(wanted: Wanted, revision: str, within_s: float) -> Operation[None]:
    """Return at the next change of what is looked at (by long-poll), or when time is up."""
    if within_s < 1:  # a long-poll counts whole seconds
        yield Pause(min(RETRY_S, within_s))
        return
    query = {
        **wanted.query,
        "watch": "1",
        "poll": "1",
        "resourceVersion": revision,
        "timeoutSeconds": str(int(within_s)),
    }
    path = wanted.resource.path(wanted.namespace)
    yield from _answer(Ask("GET", path, query, timeout_s=within_s + ANSWER_MARGIN_S))


def _answer(ask: Ask) -> Operation[Any]:
    response = yield ask
    assert response is not None  # noqa: S101 - drivers answer an Ask
    if response.status >= 400:
        raise error_of(response)
    return json.loads(response.body)
