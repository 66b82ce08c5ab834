"""Pod Security Standards, in the words of Kubernetes v1.36 (k8s.io/pod-security-admission)."""

import copy
from typing import Any

import pytest
from apicluster import Cluster, daemon_set, pod

from kubeherd.cluster.apiserver.admission.podsecurity import checks
from kubeherd.cluster.apiserver.admission.podsecurity.levels import Level, Standard, policy_of

PREFIX = "pod-security.kubernetes.io/"
NS = "/api/v1/namespaces/default"


def judged(
    spec: dict[str, Any], minor: int = 36, level: Level = Level.BASELINE, **meta: Any
) -> str:
    return ", ".join(map(str, checks.findings(Standard(level, minor), meta, spec)))


def one(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **container}]}


def secured(**context: Any) -> dict[str, Any]:
    return one(securityContext=context)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"hostNetwork": True, "hostPID": True},
         "host namespaces (hostNetwork=true, hostPID=true)"),
        ({"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "hostPath": {}}]},
         'hostPath volumes (volumes "a", "b")'),
        (one(ports=[{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]),
         'hostPort (container "c" uses hostPorts 443, 80)'),
        (one(livenessProbe={"httpGet": {"host": "a.b"}}),
         'probe or lifecycle host (container "c" uses probe or lifecycle host "a.b")'),
        (secured(privileged=True),
         'privileged (container "c" must not set securityContext.privileged=true)'),
        (secured(procMount="Unmasked"),
         'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
        ({**secured(procMount="Unmasked"), "hostUsers": False}, ""),
        (secured(capabilities={"add": ["NET_RAW", "CHOWN", "BPF"]}),
         'non-default capabilities (container "c" must not include "BPF", "NET_RAW" in '
         "securityContext.capabilities.add)"),
        ({**secured(seLinuxOptions={"user": "u"}),
          "securityContext": {"seLinuxOptions": {"type": "spc_t"}}},
         'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: '
         'type "spc_t"; user may not be set)'),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
         'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'),
        (secured(appArmorProfile={"type": "Unconfined"}),
         'forbidden AppArmor profile (container "c" must not set AppArmor profile type to '
         '"Unconfined")'),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}},
         "forbidden sysctls (kernel.msgmax)"),
        ({"securityContext": {"windowsOptions": {"hostProcess": True}}},
         "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"),
        (one(), ""),
    ],
)  # fmt: skip
def test_baseline(spec: dict[str, Any], told: str) -> None:
    assert judged(spec) == told


GOOD = secured(
    allowPrivilegeEscalation=False,
    capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    runAsNonRoot=True,
    seccompProfile={"type": "RuntimeDefault"},
)


def test_restricted() -> None:
    assert judged(one(), level=Level.RESTRICTED) == (
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false), "
        'unrestricted capabilities (container "c" must set '
        'securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )
    assert judged(GOOD, level=Level.RESTRICTED) == ""
    as_root = {**GOOD, "securityContext": {"runAsUser": 0, "runAsNonRoot": False}}
    assert judged(as_root, level=Level.RESTRICTED) == (
        "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), "
        "runAsUser=0 (pod must not set runAsUser=0)"
    )
    volumes = {**GOOD, "volumes": [{"name": "n", "nfs": {}}, {"name": "h", "hostPath": {}}]}
    assert judged(volumes, level=Level.RESTRICTED) == (
        'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")'
    )


def test_a_standard_is_as_of_a_version() -> None:
    tuned = {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}
    assert judged(tuned, 31) == "forbidden sysctls (net.ipv4.tcp_rmem)"
    assert judged(tuned, 32) == judged(tuned, -1) == judged(tuned, 99) == ""
    annotation = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert judged({}, 18, annotations=annotation) == (
        "seccompProfile (forbidden annotation "
        'seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert judged({}, 19, annotations=annotation) == ""
    unmasked = {**copy.deepcopy(GOOD), "hostUsers": False}
    unmasked["containers"][0]["securityContext"]["procMount"] = "Unmasked"
    assert judged(unmasked, level=Level.RESTRICTED).startswith("procMount (")
    assert judged(unmasked, level=Level.BASELINE) == ""


def test_what_labels_ask_for() -> None:
    policy, causes = policy_of({PREFIX + "enforce": "baseline", PREFIX + "enforce-version": "v1.2"})
    assert not causes
    assert policy.enforce == policy.warn == Standard(Level.BASELINE, 2)
    assert policy.audit == Standard()
    policy, causes = policy_of({PREFIX + "enforce": "none", PREFIX + "warn-version": "1.2"})
    assert policy.enforce.level is Level.RESTRICTED
    assert policy.warn.level is Level.PRIVILEGED
    assert [cause.message for cause in causes] == [
        'Invalid value: "none": must be one of privileged, baseline, restricted',
        'Invalid value: "1.2": must be "latest" or "v1.x"',
    ]


async def label(cluster: Cluster, **labels: str) -> Any:
    keys = {PREFIX + mode: level for mode, level in labels.items()}
    return await cluster.patch(NS, {"metadata": {"labels": keys}})


async def test_what_the_namespace_enforces(cluster: Cluster) -> None:
    assert (await cluster.post(f"{NS}/pods", pod("old", hostNetwork=True))).status == 201
    changed = await label(cluster, enforce="baseline")
    assert changed.headers["Warning"] == (
        '299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce '
        'level \\"baseline:latest\\"", 299 - "old: host namespaces"'
    )
    refused = await cluster.post(f"{NS}/pods", pod("p", hostNetwork=True))
    assert (refused.status, refused.message) == (
        403,
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces '
        "(hostNetwork=true)",
    )
    # What is there stays, and can be changed where it does not matter.
    labelled = {"metadata": {"labels": {"a": "b"}}}
    assert (await cluster.patch(f"{NS}/pods/old", labelled)).status == 200
    image = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    assert (await cluster.patch(f"{NS}/pods/old", image)).status == 403


async def test_workloads_are_only_warned_of(cluster: Cluster) -> None:
    await label(cluster, enforce="baseline")
    body = daemon_set("d")
    body["spec"]["template"]["spec"]["hostPID"] = True
    created = await cluster.post("/apis/apps/v1/namespaces/default/daemonsets", body)
    assert created.status == 201
    assert created.headers["Warning"] == (
        '299 - "would violate PodSecurity \\"baseline:latest\\": host namespaces (hostPID=true)"'
    )


async def test_labels_that_mean_nothing(cluster: Cluster) -> None:
    refused = await label(cluster, enforce="strict")
    assert (refused.status, refused.message) == (
        422,
        'Namespace "default" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: '
        'Invalid value: "strict": must be one of privileged, baseline, restricted',
    )
