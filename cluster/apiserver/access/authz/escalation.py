"""Nobody gives rights that he does not hold: the check on writes to roles and bindings.

Source: Kubernetes v1.36, pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/
policybased/storage.go, escalation_check.go, validation/rule.go. Exempt are the superusers, who may
``escalate`` the role, and who may ``bind`` the role of a binding. It comes after the mutating
admission and before validation, as there; who is refused learns nothing about validity.
"""

from collections.abc import Sequence

from kubeherd.cluster.api import errors, kinds
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.apiserver.access.authz.attributes import Attributes
from kubeherd.cluster.apiserver.access.authz.authorizer import SUPERUSERS, Authorizer
from kubeherd.cluster.apiserver.access.authz.covering import TooMany, described, go_list, missing
from kubeherd.cluster.apiserver.access.authz.rbac import EVERYTHING, GROUP, Rule, rule_from_json
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest

_MOST_SHOWN = 200
_BY_COLLECTOR = ("ownerReferences", "finalizers", "selfLink", "managedFields")
_ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}


def check(request: AdmissionRequest, authorizer: Authorizer) -> None:
    """Forbidden if the write would give rights that the user does not hold; NotFound if it refers
    to a role that does not exist. `request` is a create (`old` is None) or an update in the group
    rbac.authorization.k8s.io."""
    new, old = request.new or {}, request.old
    if SUPERUSERS in request.user.groups or (old is not None and _only_collected(new, old)):
        return
    if request.resource.kind in _ROLES:
        _check_role(request, authorizer, new, old)
    else:
        _check_binding(request, authorizer, new)


def _check_role(
    request: AdmissionRequest, authorizer: Authorizer, new: JsonObject, old: JsonObject | None
) -> None:
    # The name is the URL's: a create has none there.
    name = request.name if old is not None else ""
    if _may(request, authorizer, "escalate", request.resource.plural, name):
        return
    _confirm(request, authorizer, [rule_from_json(rule) for rule in new.get("rules") or ()])
    if _aggregates(new) or _aggregates(old or {}):
        held = authorizer.rules(request.user, request.namespace)
        if _lacking(request, held, EVERYTHING):
            raise request.forbidden("must have cluster-admin privileges to use the aggregationRule")


def _check_binding(request: AdmissionRequest, authorizer: Authorizer, new: JsonObject) -> None:
    reference = new.get("roleRef") or {}
    kind, name = reference.get("kind", ""), reference.get("name", "")
    plural = _ROLES.get(kind)
    if plural is None:
        raise errors.BadRequest(f'unsupported role reference kind: "{kind}"')
    if reference.get("apiGroup", "") == GROUP and _may(request, authorizer, "bind", plural, name):
        return
    if kind == "Role" and not request.namespace:
        raise errors.BadRequest("Namespace parameter required.")
    rules = authorizer.role_rules(kind, request.namespace, name)
    if rules is None:
        raise errors.not_found(kinds.resource(GROUP, "v1", plural), name)
    _confirm(request, authorizer, rules)


def _may(
    request: AdmissionRequest, authorizer: Authorizer, verb: str, plural: str, name: str
) -> bool:
    return authorizer.decide(
        Attributes(
            user=request.user,
            verb=verb,
            group=GROUP,
            version="*",
            resource=plural,
            namespace=request.namespace,
            name=name,
        )
    ).allowed


def _confirm(request: AdmissionRequest, authorizer: Authorizer, wanted: Sequence[Rule]) -> None:
    user = request.user
    lacking = _lacking(request, authorizer.rules(user, request.namespace), wanted)
    if not lacking:
        return
    texts = described(lacking)
    if len(texts) > _MOST_SHOWN:
        texts[_MOST_SHOWN:] = [f"... and {len(texts) - _MOST_SHOWN} more"]
    raise request.forbidden(
        f'user "{user.name}" (groups={go_list(user.groups)}) is attempting to grant RBAC '
        "permissions not currently held:\n" + "\n".join(texts)
    )


def _lacking(request: AdmissionRequest, held: Sequence[Rule], wanted: Sequence[Rule]) -> list[Rule]:
    try:
        return missing(held, wanted)
    except TooMany:
        raise request.forbidden(
            f'user "{request.user.name}" is attempting to grant RBAC permissions that are too many '
            "to compare with those currently held"
        ) from None


def _aggregates(role: JsonObject) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _only_collected(new: JsonObject, old: JsonObject) -> bool:
    """Whether only fields differ that the garbage collector writes."""
    meta, old_meta = dict(new["metadata"]), dict(old["metadata"])
    for key in _BY_COLLECTOR:
        meta.pop(key, None)
        old_meta.pop(key, None)
    new, old = {**new, "metadata": meta}, {**old, "metadata": old_meta}
    return bool(_significant(new) == _significant(old))


def _significant(value: JsonValue) -> JsonValue:
    """`value` without empty members, which mean the same as absent ones."""
    if isinstance(value, dict):
        members = {key: _significant(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_significant(member) for member in value]
    return value
