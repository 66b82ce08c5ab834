"""Rules of security contexts (spec api-machinery, section 18)."""

import re

from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import duplicate, invalid, not_supported, required
from kubeherd.cluster.api.validation.checks import each, range_text

_MAX_ID = 2**31 - 1
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def _ids(context: JsonObject, fields: tuple[str, ...], path: str) -> list[Cause]:
    return [
        invalid(f"{path}.{name}", context[name], range_text(0, _MAX_ID))
        for name in fields
        if context.get(name) is not None and not 0 <= context[name] <= _MAX_ID
    ]


def _profile(profile: JsonObject | None, path: str) -> list[Cause]:
    """seccompProfile and appArmorProfile."""
    if profile is None:
        return []
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        return [required(f"{path}.type", "type is required when seccompProfile is set")]
    if kind not in _SECCOMP:
        return [not_supported(f"{path}.type", kind, _SECCOMP)]
    if kind == "Localhost" and not local:
        return [required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")]
    if kind != "Localhost" and local is not None:
        detail = "can only be set when seccomp type is Localhost"
        return [invalid(f"{path}.localhostProfile", profile, detail)]
    return []


def container_security_context(context: JsonObject | None, path: str) -> list[Cause]:
    """The securityContext of a container."""
    if not context:
        return []
    causes = _ids(context, ("runAsUser", "runAsGroup"), path)
    proc_mount = context.get("procMount")
    if proc_mount is not None and proc_mount not in ("Default", "Unmasked"):
        causes.append(not_supported(f"{path}.procMount", proc_mount, ("Default", "Unmasked")))
    causes += _profile(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            causes.append(invalid(path, context, detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            )
            causes.append(invalid(path, context, detail))
    return causes


def pod_security_context(spec: JsonObject, path: str) -> list[Cause]:
    """The securityContext of a pod, and the host namespaces beside it; `path` is the context's."""
    context = spec.get("securityContext") or {}
    causes = _ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            at = f"{path}.supplementalGroups[{index}]"
            causes.append(invalid(at, group, range_text(0, _MAX_ID)))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(invalid(f"{path}.shareProcessNamespace", True, detail))
    causes += _sysctls(context.get("sysctls"), f"{path}.sysctls")
    for name, supported in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
    ):
        if context.get(name) is not None and context[name] not in supported:
            causes.append(not_supported(f"{path}.{name}", context[name], supported))
    return causes + _profile(context.get("seccompProfile"), f"{path}.seccompProfile")


def _sysctls(items: list[JsonObject] | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, sysctl in each(items, path):
        name = sysctl.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name, re.ASCII):
            detail = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            causes.append(invalid(f"{at}.name", name, detail))
        elif name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
    return causes
