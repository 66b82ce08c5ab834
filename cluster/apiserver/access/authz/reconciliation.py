"""What the roles and bindings of the bootstrap policy become when a server starts over a store that
has them already. Pure.

Source: Kubernetes v1.36, component-helpers/auth/rbac/reconciliation/{reconcile_role,
reconcile_rolebindings}.go, as pkg/registry/rbac/rest calls it: what is missing of rules, selectors,
subjects, labels and annotations is added; what a person has added stays. Invariant: an object whose
annotation ``rbac.authorization.kubernetes.io/autoupdate`` is ``false`` is never changed.
"""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.access.authz.covering import TooMany, missing
from kubeherd.cluster.apiserver.access.authz.rbac import rule_from_json

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def reconciled(existing: JsonObject, expected: JsonObject) -> JsonObject:
    """What an existing role or binding should be; equal to `existing` if nothing is missing.

    Another ``roleRef`` than that of `existing` means that it has to be deleted and made anew.
    """
    annotations = existing["metadata"].get("annotations") or {}
    if annotations.get(AUTO_UPDATE) == "false":
        return existing
    if "roleRef" not in expected:
        return _role(_with_meta(existing, expected), expected)
    if existing.get("roleRef") != expected["roleRef"]:
        return expected
    return _binding(_with_meta(existing, expected), expected)


def _with_meta(existing: JsonObject, expected: JsonObject) -> JsonObject:
    """With the expected labels and annotations where it has none of that name."""
    meta, wanted = existing["metadata"], expected["metadata"]
    added = {
        key: {**wanted[key], **(meta.get(key) or {})}
        for key in ("labels", "annotations")
        if wanted.get(key)
    }
    return {**existing, "metadata": {**meta, **added}}


def _role(role: JsonObject, expected: JsonObject) -> JsonObject:
    """The rules of an aggregated role are its controller's."""
    wanted = _selectors(expected)
    if not wanted:
        out = {key: value for key, value in role.items() if key != "aggregationRule"}
        return _with_rules(out, expected.get("rules") or [])
    held = _selectors(role)
    lacking = [selector for selector in wanted if selector not in held]
    if not lacking:
        return role
    rule = {**(role.get("aggregationRule") or {}), "clusterRoleSelectors": [*held, *lacking]}
    return {**role, "aggregationRule": rule}


def _with_rules(role: JsonObject, wanted: list[JsonObject]) -> JsonObject:
    held = role.get("rules") or []
    if all(rule in held for rule in wanted):
        return role
    try:
        parts = missing(list(map(rule_from_json, held)), map(rule_from_json, wanted))
    except TooMany:  # somebody has made it huge: as it cannot be compared, all is added
        return {**role, "rules": [*held, *(rule for rule in wanted if rule not in held)]}
    return {**role, "rules": [*held, *(part.to_json() for part in parts)]} if parts else role


def _binding(binding: JsonObject, expected: JsonObject) -> JsonObject:
    held = binding.get("subjects") or []
    lacking = [subject for subject in expected.get("subjects") or () if subject not in held]
    return {**binding, "subjects": [*held, *lacking]} if lacking else binding


def _selectors(role: JsonObject) -> list[JsonObject]:
    return (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
