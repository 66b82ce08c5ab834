"""/healthz, /livez, /readyz and /version (spec api-machinery, section 16)."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import msgspec

from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.serializer import codecs
from kubeherd.cluster.api.version import KUBERNETES_VERSION
from kubeherd.cluster.apiserver.edge.messages import ApiRequest, ApiResponse

ENDPOINTS = ("healthz", "livez", "readyz")
_TEXT = "text/plain; charset=utf-8"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
VERSION = {
    "major": _MAJOR,
    "minor": _MINOR,
    "emulationMajor": _MAJOR,
    "emulationMinor": _MINOR,
    "minCompatibilityMajor": _MAJOR,
    "minCompatibilityMinor": str(int(_MINOR) - 1),
    "gitVersion": KUBERNETES_VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


class Phase(msgspec.Struct):
    """How far a server is in its life."""

    started: bool = False
    """What every cluster has is there."""
    stopping: bool = False
    """It takes no new requests."""


Check = Callable[[], str]
"""What is wrong, or ""."""

_HOOKS = (
    "start-apiserver-admission-initializer", "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer", "priority-and-fairness-filter",
    "storage-object-count-tracker-hook", "start-apiextensions-informers",
    "start-apiextensions-controllers", "crd-informer-synced",
    "start-system-namespaces-controller", "peer-endpoint-reconciler-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector", "storage-readiness",
    "start-legacy-token-tracking-controller", "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer", "bootstrap-controller",
    "start-kubernetes-service-cidr-controller", "aggregator-reload-proxy-client-cert",
    "start-kube-aggregator-informers", "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller", "apiservice-registration-controller",
    "apiservice-wait-for-first-sync", "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
)  # fmt: skip
"""Those of v1.36 with its default features (AddPostStartHook), in the order of a start."""
_LAST_HOOKS = ("apiservice-openapi-controller", "apiservice-openapiv3-controller")
_READY_ONLY = frozenset({"etcd-readiness", "informer-sync", "shutdown"})


def upstream_checks(etcd: Check, started: Check, shutdown: Check) -> dict[str, Check]:
    """The checks of a kube-apiserver by name, in its order.

    `etcd`: the store; `started`: what Kubernetes' hooks after the start do is done here by one
    bootstrap, before the first request.
    """

    def well() -> str:
        return ""

    return {
        "ping": well,
        "log": well,
        "etcd": etcd,
        "etcd-readiness": etcd,
        "informer-sync": started,
        **{f"poststarthook/{hook}": started for hook in _HOOKS},
        "autoregister-completion": started,
        **{f"poststarthook/{hook}": started for hook in _LAST_HOOKS},
        "shutdown": shutdown,
    }


class Health(msgspec.Struct, frozen=True):
    """The named checks behind the health endpoints. A process that is alive need not be ready."""

    checks: Mapping[str, Check]

    def answer(self, request: ApiRequest) -> ApiResponse:
        """Plain text: ``ok``, or line by line what is not (apiserver/pkg/server/healthz)."""
        endpoint, slash, single = request.path[1:].partition("/")
        checks = {
            name: check
            for name, check in self.checks.items()
            if endpoint == "readyz" or name not in _READY_ONLY
        }
        if slash:
            return _single(checks.get(single))
        parameters = parse_qs(request.raw_query, keep_blank_values=True)
        excluded = set(parameters.get("exclude", ()))
        lines, failed = [], False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif check():
                failed = True
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if unknown := sorted(excluded - checks.keys()):
            names = ",".join(map(quoted, unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if failed:
            return _text(500, *lines, f"{endpoint} check failed", "")
        if "verbose" in parameters:
            return _text(200, *lines, f"{endpoint} check passed", "")
        return _text(200, "ok")


def _single(check: Check | None) -> ApiResponse:
    if check is None:
        return ApiResponse(404, b"404 page not found\n", _TEXT)
    problem = check()
    return _text(500, f"internal server error: {problem}", "") if problem else _text(200, "ok")


def _text(status: int, *lines: str) -> ApiResponse:
    headers = {"X-Content-Type-Options": "nosniff"}
    return ApiResponse(status, "\n".join(lines).encode(), _TEXT, headers)


def version() -> bytes:
    """The body of /version."""
    return codecs.dumps_json(VERSION) + b"\n"
