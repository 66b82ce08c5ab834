"""APIService objects: which groups there are, and whether they can be reached.

Source: kube-aggregator (v1.36), cmd/kube-apiserver/app/aggregator.go. The groups of this server
have one each, registered at the start or with their CustomResourceDefinition, and are available.
One that names a Service is not: there is no network behind Services here, so nothing is proxied,
and its condition says so. Invariant: nothing is written while all is as it should be.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import structlog

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.errors import ApiError, Expired
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver import served
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.write.context import RequestContext
from kubeherd.cluster.apiserver.write.deletion import DeleteOptions
from kubeherd.cluster.apiserver.write.registry import Registry
from kubeherd.cluster.runtime.clock import Clock
from kubeherd.cluster.store.watch.deliveries import WatchFilter

APISERVICES = kinds.resource("apiregistration.k8s.io", "v1", "apiservices")
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
AT_START, WITH_DEFINITION = "onstart", "true"
_FOLLOWED = (
    APISERVICES.group_resource,
    "services",
    "customresourcedefinitions.apiextensions.k8s.io",
)
_RETRY_S = 1.0
_CUSTOM_PRIORITY = (1000, 100)
_PRIORITIES: dict[tuple[str, str], tuple[int, int]] = {
    ("", "v1"): (18000, 1),
    ("apps", "v1"): (17800, 15),
    ("events.k8s.io", "v1"): (17750, 15),
    ("authentication.k8s.io", "v1"): (17700, 15),
    ("authorization.k8s.io", "v1"): (17600, 15),
    ("autoscaling", "v1"): (17500, 15),
    ("autoscaling", "v2"): (17500, 30),
    ("batch", "v1"): (17400, 15),
    ("certificates.k8s.io", "v1"): (17300, 15),
    ("networking.k8s.io", "v1"): (17200, 15),
    ("policy", "v1"): (17100, 15),
    ("rbac.authorization.k8s.io", "v1"): (17000, 15),
    ("storage.k8s.io", "v1"): (16800, 15),
    ("apiextensions.k8s.io", "v1"): (16700, 15),
    ("admissionregistration.k8s.io", "v1"): (16700, 15),
    ("scheduling.k8s.io", "v1"): (16600, 15),
    ("coordination.k8s.io", "v1"): (16500, 15),
    ("node.k8s.io", "v1"): (16300, 15),
    ("discovery.k8s.io", "v1"): (16200, 15),
    ("resource.k8s.io", "v1"): (16200, 21),
    ("flowcontrol.apiserver.k8s.io", "v1"): (16100, 21),
    (kinds.METRICS_GROUP, "v1beta1"): (100, 100),
}
"""How much a group counts among others, and a version in its group; the last as metrics-server."""

_log = structlog.get_logger(__name__)

Served = Callable[[], Mapping[tuple[str, str], Mapping[str, Resource]]]


def local_services(now: str) -> list[JsonObject]:
    """The objects of the groups that a server has from the start, with their status."""
    groups = {(r.group, r.version) for r in (*kinds.ALL, *kinds.COMPUTED)}
    return [
        {**_object(group, version, priorities, AT_START), "status": _status({}, _LOCAL, now)}
        for (group, version), priorities in _PRIORITIES.items()
        if (group, version) in groups
    ]


class ApiServices:
    """Keeps conditions, and the objects of the groups that definitions make; `custom` are those."""

    def __init__(self, registry: Registry, clock: Clock, custom: Served) -> None:
        self._registry = registry
        self._clock = clock
        self._custom = custom
        self._woken = asyncio.Event()
        self._woken.set()  # definitions of the last run may lack their objects
        self._settled: dict[str, int] = {}
        """Objects whose condition is right, with the revision of which that is known."""

    async def run(self) -> None:
        """Forever, until the server stops; the owner cancels it."""
        async with asyncio.TaskGroup() as tasks:
            for key in _FOLLOWED:
                tasks.create_task(self._follow(key), name=f"apiservices-{key}")
            tasks.create_task(self._work(), name="apiservices")

    def check_reachable(self, group: str, version: str) -> None:
        """503 if requests for this group would be proxied to a Service."""
        record = self._registry.store.get(APISERVICES.group_resource, "", f"{version}.{group}")
        if record is not None and (service := _service(record.load())) is not None:
            raise errors.ServiceUnavailable(
                f"service unavailable: {_address(service)}: {_NO_NETWORK}"
            )

    async def one_pass(self) -> None:
        """Write what is not as it should be."""
        await self._register()
        store = self._registry.store
        records = store.list(APISERVICES.group_resource)
        settled = self._settled
        self._settled = {r.name: r.revision for r in records if settled.get(r.name) == r.revision}
        for record in records:
            if record.name in self._settled:
                continue
            tree = record.load()
            wanted = self._wanted(tree)
            if not _has(tree, wanted):
                await self._write(record.name, wanted)
            elif _service(tree) is None:  # that of another depends on its Service
                self._settled[record.name] = record.revision

    async def _follow(self, key: str) -> None:
        hub = self._registry.store.hub
        while True:
            subscription = hub.subscribe(WatchFilter(key), self._registry.store.revision)
            try:
                while await subscription.next():
                    self._woken.set()
                return  # the server stops
            except Expired:
                self._woken.set()
            finally:
                hub.unsubscribe(subscription)

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.one_pass()
            except ApiError as error:  # shutting down, a full disk: once more
                _log.warning("apiservices_not_synced", error=error.message)
                await self._clock.sleep(_RETRY_S)
                self._woken.set()

    async def _register(self) -> None:
        """Make the objects of groups of definitions, and delete those that have none any more."""
        kind, store = served.of(APISERVICES), self._registry.store
        wanted = {f"{version}.{group}": (group, version) for group, version in self._custom()}
        staged = []
        for name, (group, version) in wanted.items():
            if store.head(kind.key, "", name) is None:
                tree = _object(group, version, _CUSTOM_PRIORITY, WITH_DEFINITION)
                tree["status"] = _status({}, _LOCAL, self._context().timestamp)
                staged.append(self._registry.stage_create(kind, "", tree, self._context()))
        for record in store.list(kind.key):
            if (
                record.attrs.labels.get(AUTOMANAGED) == WITH_DEFINITION
                and record.name not in wanted
            ):
                with suppress(errors.NotFound):
                    staged.append(
                        self._registry.stage_delete(
                            kind, "", record.name, DeleteOptions(), self._context()
                        )
                    )
        if staged:
            await self._registry.outcomes.commit_all(kind, staged)

    def _wanted(self, tree: JsonObject) -> JsonObject:
        service = _service(tree)
        if service is None:
            return _LOCAL
        namespace, name = service.get("namespace", ""), service.get("name", "")
        found = self._registry.store.get("services", namespace, name)
        if found is None:
            return _condition(
                "False", "ServiceNotFound", f'service/{name} in "{namespace}" is not present'
            )
        spec = tree["spec"]
        path = f"/apis/{spec.get('group')}/{spec.get('version')}"
        return _condition(
            "False",
            "FailedDiscoveryCheck",
            f"failing or missing response from {_address(service)}{path}: {_NO_NETWORK}",
        )

    async def _write(self, name: str, wanted: JsonObject) -> None:
        kind = served.of(APISERVICES)

        def change(tree: JsonObject) -> JsonObject:
            now = self._context().timestamp
            return {**tree, "status": _status(tree.get("status") or {}, wanted, now)}

        with suppress(errors.NotFound, errors.Conflict):
            await self._registry.update(
                kind, "", name, change, self._context(), prepare=kind.strategy.prepare_status
            )

    def _context(self) -> RequestContext:
        return RequestContext(
            user=SERVER,
            now=self._clock.now(),
            field_manager="kube-apiserver",
            subresource="status",
        )


def _object(group: str, version: str, priorities: tuple[int, int], managed: str) -> JsonObject:
    spec: JsonObject = {
        "version": version, "groupPriorityMinimum": priorities[0], "versionPriority": priorities[1],
    }  # fmt: skip
    if group:
        spec = {"group": group, **spec}
    return {
        "kind": APISERVICES.kind,
        "apiVersion": APISERVICES.api_version,
        "metadata": {"name": f"{version}.{group}", "labels": {AUTOMANAGED: managed}},
        "spec": spec,
    }


def _condition(status: str, reason: str, message: str) -> JsonObject:
    return {"type": "Available", "status": status, "reason": reason, "message": message}


_LOCAL = _condition("True", "Local", "Local APIServices are always available")
_NO_NETWORK = "kubeherd has no network behind Services, and proxies no requests to them"


def _service(tree: JsonObject) -> JsonObject | None:
    return (tree.get("spec") or {}).get("service")


def _address(service: JsonObject) -> str:
    return (
        f"https://{service.get('name')}.{service.get('namespace')}.svc:{service.get('port', 443)}"
    )


def _available(status: JsonObject) -> Iterator[JsonObject]:
    return (one for one in status.get("conditions") or () if one.get("type") == "Available")


def _has(tree: JsonObject, wanted: JsonObject) -> bool:
    """Whether an object has this condition, whenever it began."""
    found = next(_available(tree.get("status") or {}), {})
    return all(found.get(key) == value for key, value in wanted.items())


def _status(status: JsonObject, wanted: JsonObject, now: str) -> JsonObject:
    """A status with this condition, which began now unless it only tells another reason."""
    before = next(_available(status), {})
    since = before.get("lastTransitionTime") if before.get("status") == wanted["status"] else now
    others = [one for one in status.get("conditions") or () if one.get("type") != "Available"]
    made = {
        "type": wanted["type"],
        "status": wanted["status"],
        "lastTransitionTime": since or now,
        "reason": wanted["reason"],
        "message": wanted["message"],
    }
    return {**status, "conditions": [*others, made]}
