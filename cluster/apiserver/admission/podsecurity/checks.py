"""Which rules a standard has: a table of rules by level and minor version."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.admission.podsecurity import baseline, restricted
from kubeherd.cluster.apiserver.admission.podsecurity.levels import LATEST, Level, Standard
from kubeherd.cluster.apiserver.admission.podsecurity.looking import Finding

Rule: TypeAlias = Callable[[JsonObject, JsonObject], Finding | None]
"""A pod's metadata and spec to what is wrong with it."""


class _Check(msgspec.Struct, frozen=True):
    """A rule as it was from some minor versions on; `replaces` is the rule of the level baseline
    whose place it takes."""

    name: str
    versions: dict[int, Rule]
    replaces: str = ""

    def as_of(self, minor: int) -> Rule | None:
        since = [version for version in self.versions if minor == LATEST or version <= minor]
        return self.versions[max(since)] if since else None


# In the order in which Kubernetes tells what it found.
_BASELINE = (
    _Check("appArmorProfile", {0: baseline.app_armor}),
    _Check("capabilities_baseline", {0: baseline.capabilities}),
    _Check("hostNamespaces", {0: baseline.host_namespaces}),
    _Check("hostPathVolumes", {0: baseline.host_paths}),
    _Check("hostPorts", {0: baseline.host_ports}),
    _Check("hostProbesAndHostLifecycle", {34: baseline.probe_hosts}),
    _Check("privileged", {0: baseline.privileged}),
    _Check("procMount", {0: baseline.proc_mount, 35: baseline.proc_mount_35}),
    _Check("seLinuxOptions", {0: baseline.selinux, 31: baseline.selinux_31}),
    _Check("seccompProfile_baseline", {0: baseline.seccomp_annotations, 19: baseline.seccomp}),
    _Check("sysctls", {
        0: baseline.sysctls, 27: baseline.sysctls_27, 29: baseline.sysctls_29,
        32: baseline.sysctls_32,
    }),
    _Check("windowsHostProcess", {0: baseline.windows_host_process}),
)  # fmt: skip
_RESTRICTED = (
    _Check("allowPrivilegeEscalation", {8: restricted.escalation, 25: restricted.escalation_25}),
    _Check(
        "capabilities_restricted",
        {22: restricted.capabilities, 25: restricted.capabilities_25},
        replaces="capabilities_baseline",
    ),
    _Check("procMount_restricted", {35: baseline.proc_mount}, replaces="procMount"),
    _Check("restrictedVolumes", {0: restricted.volumes}, replaces="hostPathVolumes"),
    _Check("runAsNonRoot", {0: restricted.non_root, 35: restricted.non_root_35}),
    _Check("runAsUser", {23: restricted.user, 35: restricted.user_35}),
    _Check(
        "seccompProfile_restricted",
        {19: restricted.seccomp, 25: restricted.seccomp_25},
        replaces="seccompProfile_baseline",
    ),
)


def findings(standard: Standard, meta: JsonObject, spec: JsonObject) -> list[Finding]:
    """What a pod does that the standard does not allow."""
    found = (rule(meta, spec) for rule in _rules(standard))
    return [one for one in found if one is not None]


def _rules(standard: Standard) -> Iterator[Rule]:
    checks: list[_Check] = []
    if standard.level >= Level.BASELINE:
        checks += _BASELINE
    if standard.level >= Level.RESTRICTED:
        further = [one for one in _RESTRICTED if one.as_of(standard.minor) is not None]
        replaced = {one.replaces for one in further}
        checks = [one for one in checks if one.name not in replaced] + further
    for check in checks:
        rule = check.as_of(standard.minor)
        if rule is not None:
            yield rule
