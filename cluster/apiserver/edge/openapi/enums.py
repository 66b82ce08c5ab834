"""The string fields that take only certain values, by definition and field (values sorted).

The definitions that the schemas are made from have lost the enums of Kubernetes' OpenAPI;
``kubectl explain`` shows them.
"""

_TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TERMINATION_POLICIES = ("FallbackToLogsOnError", "File")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SELECTOR_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip
_CONTAINER_ENUMS = {
    "imagePullPolicy": _PULL_POLICIES,
    "terminationMessagePolicy": _TERMINATION_POLICIES,
}

FIELD_ENUMS: dict[str, dict[str, tuple[str, ...]]] = {
    "io.k8s.api.apps.v1.DaemonSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "io.k8s.api.apps.v1.DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
    "io.k8s.api.apps.v1.StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
    "io.k8s.api.autoscaling.v2.HPAScalingRules": {"selectPolicy": ("Disabled", "Max", "Min")},
    "io.k8s.api.batch.v1.CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
    "io.k8s.api.batch.v1.JobSpec": {
        "completionMode": ("Indexed", "NonIndexed"),
        "podReplacementPolicy": ("Failed", "TerminatingOrFailed"),
    },
    "io.k8s.api.batch.v1.PodFailurePolicyRule": {
        "action": ("Count", "FailIndex", "FailJob", "Ignore")
    },
    "io.k8s.api.core.v1.Container": _CONTAINER_ENUMS,
    "io.k8s.api.core.v1.ContainerPort": {"protocol": _PROTOCOLS},
    "io.k8s.api.core.v1.EndpointPort": {"protocol": _PROTOCOLS},
    "io.k8s.api.core.v1.EphemeralContainer": _CONTAINER_ENUMS,
    "io.k8s.api.core.v1.HTTPGetAction": {"scheme": ("HTTP", "HTTPS")},
    "io.k8s.api.core.v1.HostPathVolumeSource": {"type": _HOST_PATH_TYPES},
    "io.k8s.api.core.v1.NamespaceStatus": {"phase": ("Active", "Terminating")},
    "io.k8s.api.core.v1.NodeSelectorRequirement": {"operator": _SELECTOR_OPERATORS},
    "io.k8s.api.core.v1.NodeStatus": {"phase": ("Pending", "Running", "Terminated")},
    "io.k8s.api.core.v1.PersistentVolumeClaimSpec": {"volumeMode": ("Block", "Filesystem")},
    "io.k8s.api.core.v1.PersistentVolumeClaimStatus": {"phase": ("Bound", "Lost", "Pending")},
    "io.k8s.api.core.v1.PersistentVolumeSpec": {
        "persistentVolumeReclaimPolicy": ("Delete", "Recycle", "Retain"),
        "volumeMode": ("Block", "Filesystem"),
    },
    "io.k8s.api.core.v1.PersistentVolumeStatus": {
        "phase": ("Available", "Bound", "Failed", "Pending", "Released")
    },
    "io.k8s.api.core.v1.PodSpec": {
        "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
        "preemptionPolicy": ("Never", "PreemptLowerPriority"),
        "restartPolicy": ("Always", "Never", "OnFailure"),
    },
    "io.k8s.api.core.v1.PodStatus": {
        "phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
        "qosClass": ("BestEffort", "Burstable", "Guaranteed"),
    },
    "io.k8s.api.core.v1.SeccompProfile": {"type": ("Localhost", "RuntimeDefault", "Unconfined")},
    "io.k8s.api.core.v1.ServicePort": {"protocol": _PROTOCOLS},
    "io.k8s.api.core.v1.ServiceSpec": {
        "externalTrafficPolicy": _TRAFFIC_POLICIES,
        "internalTrafficPolicy": _TRAFFIC_POLICIES,
        "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
        "sessionAffinity": ("ClientIP", "None"),
        "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    },
    "io.k8s.api.core.v1.Taint": {"effect": _TAINT_EFFECTS},
    "io.k8s.api.core.v1.Toleration": {
        "effect": _TAINT_EFFECTS,
        "operator": ("Equal", "Exists", "Gt", "Lt"),
    },
    "io.k8s.api.core.v1.TopologySpreadConstraint": {
        "nodeAffinityPolicy": ("Honor", "Ignore"),
        "nodeTaintsPolicy": ("Honor", "Ignore"),
        "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
    },
    "io.k8s.api.discovery.v1.EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    "io.k8s.api.networking.v1.HTTPIngressPath": {
        "pathType": ("Exact", "ImplementationSpecific", "Prefix")
    },
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": _PROTOCOLS},
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": {
        "unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")
    },
    "io.k8s.api.scheduling.v1.PriorityClass": {
        "preemptionPolicy": ("Never", "PreemptLowerPriority")
    },
    "io.k8s.api.storage.v1.StorageClass": {
        "reclaimPolicy": ("Delete", "Recycle", "Retain"),
        "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
    },
}
