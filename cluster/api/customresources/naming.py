"""The status of a CustomResourceDefinition: which names it has, and whether it is established.

Source: k8s.io/apiextensions-apiserver/pkg/controller (status, establish, apiapproval). Pure: a new
status from a definition and the names that others of its group hold.
"""

from collections.abc import Iterable
from typing import Final

from kubeherd.cluster.api.customresources.definition import condition, is_true
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""

NAMES_ACCEPTED, ESTABLISHED, TERMINATING = "NamesAccepted", "Established", "Terminating"
CONFORMANT: Final = "KubernetesAPIApprovalPolicyConformant"
APPROVAL: Final = "api-approved.kubernetes.io"
"""The annotation that kinds in groups of Kubernetes need."""
_SINGLE = (
    ("plural", "PluralConflict", False),
    ("singular", "SingularConflict", False),
    ("kind", "KindConflict", True),
    ("listKind", "ListKindConflict", True),
)
"""Name, the reason why it is refused, whether it is one of kinds rather than of resources."""


def with_condition(
    definition: JsonObject, kind: str, status: bool, reason: str, message: str, now: str
) -> JsonObject:
    """The definition with this condition; its time is kept if its status does not change."""
    old = condition(definition, kind)
    new: JsonObject = {
        "type": kind,
        "status": "True" if status else "False",
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    if old.get("status") == new["status"]:
        new["lastTransitionTime"] = old.get("lastTransitionTime", now)
    current = definition.get("status") or {}
    others = list(current.get("conditions") or ())
    if old:
        others[others.index(old)] = new
    else:
        others.append(new)
    return {**definition, "status": {**current, "conditions": others}}


def named(definition: JsonObject, others: Iterable[JsonObject], now: str) -> JsonObject:
    """The definition with the names that it may have, and the conditions that say so.

    `others` are the other definitions of its group: what they hold is taken.
    """
    resources, kinds = _taken(others)
    wanted = definition["spec"]["names"]
    status = definition.get("status") or {}
    held = status.get("acceptedNames") or {}
    accepted = dict(held)
    reason, message = "NoConflicts", "no conflicts found"
    for name, conflict, is_kind in _SINGLE:
        if _is_free(wanted.get(name, ""), held.get(name, ""), kinds if is_kind else resources):
            accepted[name] = wanted.get(name, "")
        else:
            reason, message = conflict, f"{quoted(wanted[name])} is already in use"
        if name == "singular":
            refused = _refused_short_names(wanted, held, resources)
            if refused:
                reason, message = "ShortNamesConflict", _in_use(refused)
            else:
                _keep(accepted, wanted, "shortNames")
    _keep(accepted, wanted, "categories")
    good = reason == "NoConflicts"
    definition = {**definition, "status": {**status, "acceptedNames": accepted}}
    definition = with_condition(definition, NAMES_ACCEPTED, good, reason, message, now)
    if is_true(definition, ESTABLISHED):
        return definition
    if good:
        why = ("Installing", "the initial names have been accepted")
    elif condition(definition, ESTABLISHED):
        return definition
    else:
        why = ("NotAccepted", "not all names are accepted")
    return with_condition(definition, ESTABLISHED, False, *why, now)


def approved(definition: JsonObject, now: str) -> JsonObject:
    """The definition with the condition that tells whether a kind in a group of Kubernetes has
    been approved; the same one if the group is nobody's in particular."""
    if not is_protected(definition["spec"]["group"]):
        return definition
    value = (definition["metadata"].get("annotations") or {}).get(APPROVAL, "")
    if value.startswith("unapproved"):
        reason, message = "UnapprovedAnnotation", f"not approved: {quoted(value)}"
    else:
        reason, message = "ApprovedAnnotation", f"approved in {value}"
    good = reason == "ApprovedAnnotation"
    if condition(definition, CONFORMANT).get("message") == message:
        return definition
    return with_condition(definition, CONFORMANT, good, reason, message, now)


def is_protected(group: str) -> bool:
    """Whether the group belongs to the community of Kubernetes."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def established(definition: JsonObject, now: str) -> JsonObject:
    """The definition served from now on."""
    text = "the initial names have been accepted"
    return with_condition(definition, ESTABLISHED, True, "InitialNamesAccepted", text, now)


def _taken(others: Iterable[JsonObject]) -> tuple[set[str], set[str]]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        held = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {held.get("plural", ""), held.get("singular", "")}
        resources |= set(held.get("shortNames") or ())
        kinds |= {held.get("kind", ""), held.get("listKind", "")}
    return resources, kinds


def _is_free(wanted: str, held: str, taken: set[str]) -> bool:
    return wanted == held or wanted not in taken


def _refused_short_names(wanted: JsonObject, held: JsonObject, taken: set[str]) -> list[str]:
    mine = set(held.get("shortNames") or ())
    return [n for n in wanted.get("shortNames") or () if n not in mine and n in taken]


def _in_use(names: list[str]) -> str:
    """Go's text of one error or of several."""
    texts = list(dict.fromkeys(f"{quoted(name)} is already in use" for name in names))
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def _keep(accepted: JsonObject, wanted: JsonObject, name: str) -> None:
    if wanted.get(name):
        accepted[name] = wanted[name]
    else:
        accepted.pop(name, None)
