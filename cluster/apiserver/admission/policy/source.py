"""Policies with their bindings, as they stand in the store."""

from collections.abc import Iterable

import msgspec

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.jsontypes import JsonObject

GROUP = "admissionregistration.k8s.io"


class PolicyKind(msgspec.Struct, frozen=True):
    """One of the two kinds of policies: where its objects and their bindings are."""

    name: str
    policies: str
    bindings: str


def _kind(name: str) -> PolicyKind:
    plural = name.lower().removesuffix("y") + "ies"
    return PolicyKind(
        name,
        kinds.resource(GROUP, "v1", plural).group_resource,
        kinds.resource(GROUP, "v1", f"{name.lower()}bindings").group_resource,
    )


VALIDATING = _kind("ValidatingAdmissionPolicy")
MUTATING = _kind("MutatingAdmissionPolicy")
EXEMPT = frozenset({
    *(key for kind in (VALIDATING, MUTATING) for key in (kind.policies, kind.bindings)),
    "tokenreviews.authentication.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
})  # fmt: skip
"""What no policy applies to: themselves, or nobody could mend a wrong one, and questions."""


class Binding(msgspec.Struct, frozen=True):
    """Where and how a policy applies."""

    name: str
    spec: JsonObject


class Policy(msgspec.Struct, frozen=True):
    """A policy that is bound."""

    name: str
    spec: JsonObject
    bindings: tuple[Binding, ...]

    @property
    def may_fail(self) -> bool:
        """Whether a write goes on when the policy cannot be evaluated."""
        return self.spec.get("failurePolicy") == "Ignore"


def bound(policies: Iterable[JsonObject], bindings: Iterable[JsonObject]) -> list[Policy]:
    """The policies that have bindings. Kubernetes keeps no order; here they are by name."""
    by_policy: dict[str, list[Binding]] = {}
    for tree in bindings:
        one = Binding(tree["metadata"]["name"], tree["spec"])
        by_policy.setdefault(one.spec["policyName"], []).append(one)
    found = [
        Policy(tree["metadata"]["name"], tree["spec"], tuple(by_policy[tree["metadata"]["name"]]))
        for tree in policies
        if tree["metadata"]["name"] in by_policy
    ]
    return sorted(found, key=lambda policy: policy.name)
