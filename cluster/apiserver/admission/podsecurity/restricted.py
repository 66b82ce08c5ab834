"""The further rules of the level restricted."""

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.podsecurity import baseline
from kubeherd.cluster.apiserver.admission.podsecurity.looking import (
    Finding,
    containers,
    context,
    in_user_namespace,
    is_windows,
    names_of,
    plural,
    quoted,
    setters,
    shown,
)

_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
})  # fmt: skip


def escalation(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Every container must say that it gains no privileges."""
    bad = names_of(spec, lambda one: context(one).get("allowPrivilegeEscalation") is not False)
    detail = f"{shown(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail) if bad else None


def escalation_25(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same but for Windows."""
    return None if is_windows(spec) else escalation(meta, spec)


def capabilities(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Every container must drop all capabilities, and may add one."""

    def of(container: JsonObject) -> JsonObject:
        return context(container).get("capabilities") or {}

    def added(container: JsonObject) -> set[str]:
        return set(of(container).get("add") or ()) - {"NET_BIND_SERVICE"}

    keeping = names_of(spec, lambda one: "ALL" not in (of(one).get("drop") or ()))
    adding = names_of(spec, lambda one: bool(added(one)))
    details = []
    if keeping:
        details.append(f'{shown(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        values = sorted(set().union(*(added(one) for one in containers(spec))))
        details.append(
            f"{shown(adding)} must not include {quoted(values)} in securityContext.capabilities.add"
        )
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None


def capabilities_25(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same but for Windows."""
    return None if is_windows(spec) else capabilities(meta, spec)


def volumes(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Only volumes that hold what Kubernetes manages."""
    bad = [one for one in spec.get("volumes") or () if not _VOLUMES & one.keys()]
    if not bad:
        return None
    types = sorted({next((key for key in one if key != "name"), "unknown") for one in bad})
    word = f"{plural('uses', len(bad))} {plural('restricted volume type', len(types))}"
    names = shown([one["name"] for one in bad], "volume")
    return Finding("restricted volume types", f"{names} {word} {quoted(types)}")


def non_root(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The pod or each of its containers must say that it does not run as root."""

    def said(holder: JsonObject) -> object:
        return context(holder).get("runAsNonRoot")

    reason = "runAsNonRoot != true"
    who = setters(said(spec) is False, names_of(spec, lambda one: said(one) is False))
    if who:
        return Finding(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [] if said(spec) else names_of(spec, lambda one: said(one) is None)
    detail = f"pod or {shown(silent)} must set securityContext.runAsNonRoot=true"
    return Finding(reason, detail) if silent else None


def non_root_35(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same, unless root in the pod is nobody on the node."""
    return None if in_user_namespace(spec) else non_root(meta, spec)


def user(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Nobody runs as user 0."""

    def is_root(holder: JsonObject) -> bool:
        return context(holder).get("runAsUser") == 0

    who = setters(is_root(spec), names_of(spec, is_root))
    return Finding("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def user_35(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same, unless root in the pod is nobody on the node."""
    return None if in_user_namespace(spec) else user(meta, spec)


def seccomp(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The pod or each of its containers must name an allowed seccomp profile."""
    found = baseline.seccomp(meta, spec)
    if found is not None or baseline.seccomp_type(spec) is not None:
        return found
    silent = names_of(spec, lambda one: baseline.seccomp_type(one) is None)
    wanted = '"RuntimeDefault" or "Localhost"'
    detail = f"pod or {shown(silent)} must set securityContext.seccompProfile.type to {wanted}"
    return Finding("seccompProfile", detail) if silent else None


def seccomp_25(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same but for Windows."""
    return None if is_windows(spec) else seccomp(meta, spec)
