"""The rules of the level baseline. Each is a function of a pod's metadata and spec."""

from kubeherd.cluster.api.goformat import quoted as go_quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.podsecurity.looking import (
    Finding,
    containers,
    context,
    in_user_namespace,
    names_of,
    plural,
    quoted,
    setters,
    shown,
)

_APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_PROFILE_TYPES = frozenset({"RuntimeDefault", "Localhost"})
_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SYSCTLS = {
    0: ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: ("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
         "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}  # fmt: skip
"""What is allowed, by the minor version since which it is."""


def app_armor(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Only the runtime's AppArmor profile or one of the node."""

    def kind(holder: JsonObject) -> str | None:
        profile = context(holder).get("appArmorProfile")
        return None if profile is None else str(profile.get("type", ""))

    def is_bad(holder: JsonObject) -> bool:
        return kind(holder) not in (None, *_PROFILE_TYPES)

    values = sorted({str(kind(one)) for one in (spec, *containers(spec)) if is_bad(one)})
    annotations = sorted(
        f"{key}={go_quoted(value)}"
        for key, value in (meta.get("annotations") or {}).items()
        if key.startswith(_APPARMOR_PREFIX)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    who = [one for one in (setters(is_bad(spec), names_of(spec, is_bad)),) if one]
    if annotations:
        who.append(plural("annotation", len(annotations)))
    if not who:
        return None
    values += annotations
    return Finding(
        plural("forbidden AppArmor profile", len(values)),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
    )


def capabilities(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No capabilities but those that containers have anyway."""

    def added(container: JsonObject) -> set[str]:
        return set((context(container).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES

    bad = names_of(spec, lambda container: bool(added(container)))
    if not bad:
        return None
    values = sorted(set().union(*(added(one) for one in containers(spec))))
    return Finding(
        "non-default capabilities",
        f"{shown(bad)} must not include {quoted(values)} in securityContext.capabilities.add",
    )


def host_namespaces(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Not the node's network, processes or shared memory."""
    bad = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return Finding("host namespaces", ", ".join(bad)) if bad else None


def host_paths(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No folders of the node."""
    bad = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    return Finding("hostPath volumes", shown(bad, "volume")) if bad else None


def host_ports(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No ports of the node."""

    def used(container: JsonObject) -> set[str]:
        ports = container.get("ports") or ()
        return {str(port["hostPort"]) for port in ports if port.get("hostPort")}

    bad = names_of(spec, lambda container: bool(used(container)))
    if not bad:
        return None
    ports = sorted(set().union(*(used(one) for one in containers(spec))))
    word = f"{plural('uses', len(bad))} {plural('hostPort', len(ports))}"
    return Finding("hostPort", f"{shown(bad)} {word} {', '.join(ports)}")


def probe_hosts(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Probes and hooks go to the pod itself."""

    def named(container: JsonObject) -> set[str]:
        handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        hooks = container.get("lifecycle") or {}
        handlers += [hooks.get("postStart"), hooks.get("preStop")]
        return {
            action["host"]
            for handler in handlers
            for action in ((handler or {}).get("httpGet"), (handler or {}).get("tcpSocket"))
            if action and action.get("host")
        }

    bad = sorted(set(names_of(spec, lambda container: bool(named(container)))))
    if not bad:
        return None
    hosts = sorted(set().union(*(named(one) for one in containers(spec))))
    word = f"{plural('uses', len(bad))} {plural('probe or lifecycle host', len(hosts))}"
    return Finding("probe or lifecycle host", f"{shown(bad)} {word} {quoted(hosts)}")


def privileged(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No privileged containers."""
    bad = names_of(spec, lambda container: bool(context(container).get("privileged")))
    detail = f"{shown(bad)} must not set securityContext.privileged=true"
    return Finding("privileged", detail) if bad else None


def proc_mount(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Not more of /proc than usual."""

    def mount(container: JsonObject) -> str:
        return str(context(container).get("procMount") or "Default")

    bad = names_of(spec, lambda container: mount(container) != "Default")
    if not bad:
        return None
    values = sorted({mount(container) for container in containers(spec)} - {"Default"})
    return Finding(
        "procMount", f"{shown(bad)} must not set securityContext.procMount to {quoted(values)}"
    )


def proc_mount_35(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same, unless root in the pod is nobody on the node."""
    return None if in_user_namespace(spec) else proc_mount(meta, spec)


def _selinux(spec: JsonObject, allowed: frozenset[str]) -> Finding | None:
    def options(holder: JsonObject) -> JsonObject:
        return context(holder).get("seLinuxOptions") or {}

    def is_bad(holder: JsonObject) -> bool:
        own = options(holder)
        return own.get("type", "") not in allowed or bool(own.get("user") or own.get("role"))

    who = setters(is_bad(spec), names_of(spec, is_bad))
    if not who:
        return None
    holders = [options(one) for one in (spec, *containers(spec))]
    types = sorted({own.get("type", "") for own in holders} - allowed)
    said = [f"{plural('type', len(types))} {quoted(types)}"] if types else []
    custom = [key for key in ("user", "role") if any(own.get(key) for own in holders)]
    said += [f"{key} may not be set" for key in custom]
    return Finding(
        "seLinuxOptions",
        f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}",
    )


def selinux(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No SELinux users, roles, or types but those of containers."""
    return _selinux(spec, _SELINUX_TYPES)


def selinux_31(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same with the type of container engines."""
    return _selinux(spec, _SELINUX_TYPES | {"container_engine_t"})


def seccomp_type(holder: JsonObject) -> str | None:
    """The type of a seccomp profile; None if none is set."""
    profile = context(holder).get("seccompProfile")
    return None if profile is None else str(profile.get("type", ""))


def seccomp_annotations(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Only the runtime's seccomp profile or one of the node, as annotations said it."""
    annotations = meta.get("annotations") or {}
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + one["name"] for one in containers(spec))]
    bad = sorted({
        f"{key}={go_quoted(annotations[key])}"
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    })  # fmt: skip
    detail = f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}"
    return Finding("seccompProfile", detail) if bad else None


def seccomp(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Only the runtime's seccomp profile or one of the node."""

    def is_bad(holder: JsonObject) -> bool:
        return seccomp_type(holder) not in (None, *_PROFILE_TYPES)

    who = setters(is_bad(spec), names_of(spec, is_bad))
    if not who:
        return None
    values = sorted({str(seccomp_type(one)) for one in (spec, *containers(spec)) if is_bad(one)})
    return Finding(
        "seccompProfile",
        f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}",
    )


def _sysctls(spec: JsonObject, minor: int) -> Finding | None:
    allowed = {name for since, names in _SYSCTLS.items() if since <= minor for name in names}
    wanted = context(spec).get("sysctls") or ()
    bad = [sysctl["name"] for sysctl in wanted if sysctl.get("name") not in allowed]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def sysctls(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """Only sysctls that concern nobody else on the node."""
    return _sysctls(spec, 0)


def sysctls_27(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same with those of v1.27."""
    return _sysctls(spec, 27)


def sysctls_29(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same with those of v1.29."""
    return _sysctls(spec, 29)


def sysctls_32(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """The same with those of v1.32."""
    return _sysctls(spec, 32)


def windows_host_process(meta: JsonObject, spec: JsonObject) -> Finding | None:
    """No processes of the node on Windows."""

    def is_bad(holder: JsonObject) -> bool:
        return bool((context(holder).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(is_bad(spec), names_of(spec, is_bad))
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Finding("hostProcess", detail) if who else None
