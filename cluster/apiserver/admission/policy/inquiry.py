"""A write as policies see it, and which of them it concerns."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from kubeherd.cluster.api import kinds, labels
from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.admission.equivalents import Custom, equivalents, kind_of
from kubeherd.cluster.apiserver.admission.policy.source import Binding, Policy
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest
from kubeherd.cluster.apiserver.admission.webhooks.matching import seen_as, selected
from kubeherd.cluster.apiserver.read.lookup import Lookup

if TYPE_CHECKING:
    from kubeherd.cluster.api.cel.functions.authorization import Decide

_LOOK = 60
"""Steps (`cel.effort`) of asking whether a policy, a binding or a parameter is meant."""
_NAMESPACE_META = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
    "annotations", "finalizers",
)  # fmt: skip


class Misconfigured(Exception):
    """A policy or binding cannot be applied. The text says why."""


class Inquiry(msgspec.Struct):
    """One write, and what may be looked up for it. `custom` has the custom kinds that are
    served; `annotations` collects what the audit log is to say."""

    request: AdmissionRequest
    options: JsonObject
    dry_run: bool
    lookup: Lookup
    decide: "Decide"
    custom: Custom
    annotations: dict[str, str]

    def matched(self, match: JsonObject | None) -> Resource | None:
        """The resource as which `matchConstraints` or `matchResources` find the write; None if
        they do not."""
        request = self.request
        if match is None:
            return request.resource
        if not selected(match, request, self.lookup):
            return None
        others = equivalents(request.resource, self.custom)
        if seen_as(match.get("excludeResourceRules"), match, request, others) is not None:
            return None
        rules = match.get("resourceRules")
        return seen_as(rules, match, request, others) if rules else request.resource

    def params(self, policy: Policy, binding: Binding) -> list[JsonObject | None]:
        """The parameters that a policy is evaluated with, once for each; Misconfigured."""
        kind, reference = policy.spec.get("paramKind"), binding.spec.get("paramRef")
        if kind is None or reference is None:
            return [None]
        resource = self.param_resource(policy)
        namespace = self._param_namespace(resource, reference)
        found: list[JsonObject | None] = []
        if reference.get("name"):
            one = self.lookup.get(resource, namespace, reference["name"])
            found = [] if one is None else [self._seen(resource, one)]
        else:
            wanted = labels.from_selector(reference.get("selector") or {})
            found = [
                self._seen(resource, one)
                for one in _looked_at(self.lookup.list(resource, namespace))
                if wanted.matches(one["metadata"].get("labels") or {})
            ]
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured(
                "no params found for policy binding with `Deny` parameterNotFoundAction"
            )
        return found

    def _seen(self, resource: Resource, tree: JsonObject) -> JsonObject:
        kind = kind_of(resource, self.custom)
        return tree if kind is None else kind.served(tree)

    def param_resource(self, policy: Policy) -> Resource:
        """The resource of `paramKind`; Misconfigured if there is none."""
        kind = policy.spec["paramKind"]
        group, _, version = kind["apiVersion"].rpartition("/")
        for one in (*kinds.ALL, *(kind.resource for kind in self.custom.values())):
            if (one.group, one.version, one.kind) == (group, version, kind["kind"]):
                return one
        raise Misconfigured(
            "failed to find resource referenced by paramKind: "
            f"'{group}/{version}, Kind={kind['kind']}'"
        )

    def _param_namespace(self, resource: Resource, reference: JsonObject) -> str:
        given = str(reference.get("namespace") or "")
        if not resource.namespaced:
            if given:
                raise Misconfigured(
                    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
                )
            return ""
        namespace = given or self.request.namespace
        if not namespace:
            raise Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped "
                "resources"
            )
        return namespace

    def namespace(self) -> JsonObject | None:
        """The namespace of the object, as far as expressions may see it."""
        request = self.request
        if not request.namespace or request.resource is kinds.NAMESPACES:
            return None
        tree = self.lookup.get(kinds.NAMESPACES, "", request.namespace)
        if tree is None:
            return None
        meta = tree["metadata"]
        shown = {key: meta[key] for key in _NAMESPACE_META if key in meta}
        return {
            "metadata": shown, "spec": tree.get("spec") or {}, "status": tree.get("status") or {}
        }  # fmt: skip


def _looked_at(params: Iterable[JsonObject]) -> Iterator[JsonObject]:
    left = effort.current()
    for one in params:
        if not left.affords(_LOOK):
            raise Misconfigured(effort.SPENT)
        yield one


class Invocation(msgspec.Struct, frozen=True):
    """A policy that concerns a write, with one of its bindings and one parameter; or, with a
    `problem`, one that cannot be applied. `seen_as`: the resource that the policy knows."""

    policy: Policy
    binding: Binding | None
    seen_as: Resource
    param: JsonObject | None = None
    problem: str = ""


def invocations(policies: Sequence[Policy], inquiry: Inquiry) -> Iterator[Invocation]:
    """The policies that a write concerns, with all their bindings and parameters; a problem for
    what it has no steps left to look at."""
    left = effort.current()
    for policy in policies:
        if not left.affords(_LOOK):
            yield Invocation(policy, None, inquiry.request.resource, problem=effort.SPENT)
            continue
        resource = inquiry.matched(policy.spec.get("matchConstraints"))
        if resource is None:
            continue
        try:
            if policy.spec.get("paramKind") is not None:
                inquiry.param_resource(policy)
        except Misconfigured as why:
            yield Invocation(policy, None, resource, problem=f"failed to configure policy: {why}")
            continue
        for binding in policy.bindings:
            if not left.affords(_LOOK):
                yield Invocation(policy, binding, resource, problem=effort.SPENT)
                break
            if inquiry.matched(binding.spec.get("matchResources")) is not None:
                yield from _bound(policy, binding, resource, inquiry)


def _bound(
    policy: Policy, binding: Binding, resource: Resource, inquiry: Inquiry
) -> Iterator[Invocation]:
    try:
        for param in inquiry.params(policy, binding):
            if effort.current().is_spent:
                raise Misconfigured(effort.SPENT)
            yield Invocation(policy, binding, resource, param)
    except Misconfigured as why:
        yield Invocation(policy, binding, resource, problem=f"failed to configure binding: {why}")
