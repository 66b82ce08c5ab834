"""Which webhooks a write concerns, and as which version of its kind."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from kubeherd.cluster.api import kinds, labels
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation
from kubeherd.cluster.apiserver.read.lookup import Lookup

GROUP = "admissionregistration.k8s.io"
MUTATING = kinds.resource(GROUP, "v1", "mutatingwebhookconfigurations")
VALIDATING = kinds.resource(GROUP, "v1", "validatingwebhookconfigurations")
_EXEMPT = "admissionregistration.k8s.io"
_DEFAULT_TIMEOUT_S = 10


class Hook(msgspec.Struct, frozen=True):
    """One webhook of a configuration."""

    configuration: str
    tree: JsonObject

    @property
    def name(self) -> str:
        return str(self.tree.get("name", ""))

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others of its kind."""
        return self.configuration, self.name

    @property
    def timeout_s(self) -> int:
        """How long it may take, in seconds."""
        return int(self.tree.get("timeoutSeconds") or _DEFAULT_TIMEOUT_S)

    @property
    def may_fail(self) -> bool:
        """Whether a write goes on when the webhook cannot be asked."""
        return self.tree.get("failurePolicy") == "Ignore"

    @property
    def is_reinvoked(self) -> bool:
        """Whether it wants to see what others changed after it."""
        return self.tree.get("reinvocationPolicy") == "IfNeeded"

    @property
    def allows_dry_run(self) -> bool:
        return self.tree.get("sideEffects") in ("None", "NoneOnDryRun")


def hooks(configurations: Iterable[JsonObject]) -> list[Hook]:
    """The webhooks of some configurations, in the order in which they are asked."""
    by_name = sorted(configurations, key=lambda one: str(one["metadata"]["name"]))
    return [
        Hook(one["metadata"]["name"], hook)
        for one in by_name
        for hook in one.get("webhooks") or ()
    ]  # fmt: skip


def concerned(
    known: Iterable[Hook],
    request: AdmissionRequest,
    lookup: Lookup,
    equivalents: Sequence[Resource] = (),
) -> Iterator[tuple[Hook, Resource]]:
    """Those that a write concerns, with the resource that they are to see: the one that the client
    addressed or, by `matchPolicy`, one of its `equivalents`: the same objects in other versions."""
    if request.resource.group == _EXEMPT and request.resource.kind.endswith(
        ("WebhookConfiguration", "Policy", "PolicyBinding")
    ):
        return
    for hook in known:
        seen = seen_as(hook.tree.get("rules"), hook.tree, request, equivalents)
        if seen is not None and selected(hook.tree, request, lookup):
            yield hook, seen


def selected(match: JsonObject, request: AdmissionRequest, lookup: Lookup) -> bool:
    """Whether the `namespaceSelector` and the `objectSelector` of a webhook or a policy choose a
    write."""
    return _namespace_matches(match, request, lookup) and _object_matches(match, request)


def seen_as(
    rules: Sequence[JsonObject] | None,
    match: JsonObject,
    request: AdmissionRequest,
    equivalents: Sequence[Resource],
) -> Resource | None:
    """The resource as which the first of some rules finds a write, by the `matchPolicy` of
    `match`; None if none does."""
    rules = rules or ()
    if any(_rule_matches(rule, request.resource, request) for rule in rules):
        return request.resource
    if match.get("matchPolicy") == "Exact":
        return None
    found = (
        other for rule in rules for other in equivalents if _rule_matches(rule, other, request)
    )
    return next(found, None)


def _rule_matches(rule: JsonObject, resource: Resource, request: AdmissionRequest) -> bool:
    return (
        _has(rule.get("operations"), request.operation.value)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and _scope_matches(rule.get("scope"), request)
        and _name_matches(rule.get("resourceNames"), request)
        and any(
            _resource_matches(one, resource.plural, request.subresource)
            for one in rule.get("resources") or ()
        )
    )


def _has(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in items or ())


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, wanted = pattern.partition("/")
    return resource in ("*", plural) and wanted in ("*", subresource)


def _name_matches(names: Sequence[str] | None, request: AdmissionRequest) -> bool:
    return not names or request.name in names


def _scope_matches(scope: str | None, request: AdmissionRequest) -> bool:
    if scope in (None, "*"):
        return True
    return request.resource.namespaced == (scope == "Namespaced")


def _namespace_matches(hook: JsonObject, request: AdmissionRequest, lookup: Lookup) -> bool:
    selector = hook.get("namespaceSelector")
    if not selector:
        return True
    if request.resource is kinds.NAMESPACES:
        namespace = request.old if request.operation is Operation.DELETE else request.new
    elif request.namespace:
        namespace = lookup.get(kinds.NAMESPACES, "", request.namespace)
    else:
        return True
    return labels.from_selector(selector).matches(_labels(namespace))


def _object_matches(hook: JsonObject, request: AdmissionRequest) -> bool:
    selector = hook.get("objectSelector")
    if not selector:
        return True
    wanted = labels.from_selector(selector)
    return any(
        tree is not None and wanted.matches(_labels(tree)) for tree in (request.new, request.old)
    )


def _labels(tree: JsonObject | None) -> dict[str, str]:
    return ((tree or {}).get("metadata") or {}).get("labels") or {}
