"""Which scalar fields Kubernetes leaves out when they are zero.

A field that is no pointer in Go and is tagged ``omitempty`` loses an explicit ``""``, ``0`` or
``false`` on the way through the API server; a pointer keeps it. The schemas do not tell pointers,
so the non-pointers that clients send are listed, by Go struct. A field that is not listed keeps
its explicit zero, which at worst shows a field that Kubernetes would hide.
"""

_CONDITION = "reason message observedGeneration"
_STRINGS: dict[str, str] = {
    "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation",
    "ListMeta": "selfLink resourceVersion continue",
    "ManagedFieldsEntry": "manager operation apiVersion fieldsType subresource",
    "ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    "LocalObjectReference": "name",
    "Condition": "observedGeneration",
    "PodSpec": "restartPolicy dnsPolicy serviceAccountName serviceAccount nodeName hostNetwork "
    "hostPID hostIPC hostname subdomain schedulerName priorityClassName",
    "PodStatus": "phase message reason nominatedNodeName hostIP podIP qosClass resize "
    "observedGeneration",
    "PodCondition": _CONDITION,
    "NodeCondition": "reason message",
    "NamespaceCondition": "reason message",
    "DaemonSetCondition": "reason message",
    "DeploymentCondition": "reason message",
    "ReplicaSetCondition": "reason message",
    "StatefulSetCondition": "reason message",
    "JobCondition": "reason message",
    "Container": "image workingDir terminationMessagePath terminationMessagePolicy "
    "imagePullPolicy stdin stdinOnce tty",
    "EphemeralContainer": "image workingDir terminationMessagePath terminationMessagePolicy "
    "imagePullPolicy stdin stdinOnce tty targetContainerName",
    "ContainerPort": "name hostPort protocol hostIP",
    "ContainerStatus": "containerID",
    "ContainerStateWaiting": "reason message",
    "ContainerStateTerminated": "signal reason message containerID",
    "EnvVar": "value",
    "EnvFromSource": "prefix",
    "ObjectFieldSelector": "apiVersion",
    "ResourceFieldSelector": "containerName",
    "ConfigMapKeySelector": "name",
    "SecretKeySelector": "name",
    "ConfigMapEnvSource": "name",
    "SecretEnvSource": "name",
    "VolumeMount": "readOnly subPath subPathExpr",
    "Probe": "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
    "HTTPGetAction": "path host scheme",
    "TCPSocketAction": "host",
    "Toleration": "key operator value effect",
    "Taint": "value",
    "EmptyDirVolumeSource": "medium",
    "SecretVolumeSource": "secretName",
    "ConfigMapVolumeSource": "name",
    "SecretProjection": "name",
    "ConfigMapProjection": "name",
    "PersistentVolumeClaimVolumeSource": "readOnly",
    "ServiceAccountTokenProjection": "audience",
    "Affinity": "",
    "PodAffinityTerm": "topologyKey",
    "NodeSpec": "podCIDR providerID unschedulable externalID",
    "NodeStatus": "phase",
    "NamespaceStatus": "phase",
    "DaemonSetSpec": "minReadySeconds",
    "DaemonSetUpdateStrategy": "type",
    "DaemonSetStatus": "observedGeneration updatedNumberScheduled numberAvailable "
    "numberUnavailable",
    "DeploymentSpec": "minReadySeconds paused",
    "DeploymentStrategy": "type",
    "DeploymentStatus": "observedGeneration replicas updatedReplicas readyReplicas "
    "availableReplicas unavailableReplicas",
    "ReplicaSetSpec": "minReadySeconds",
    "ReplicaSetStatus": "observedGeneration fullyLabeledReplicas readyReplicas availableReplicas",
    "StatefulSetSpec": "minReadySeconds podManagementPolicy",
    "StatefulSetUpdateStrategy": "type",
    "StatefulSetStatus": "observedGeneration readyReplicas currentReplicas updatedReplicas "
    "currentRevision updateRevision",
    "JobStatus": "active succeeded failed",
    "ServiceSpec": "clusterIP type sessionAffinity loadBalancerIP externalName "
    "externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses",
    "ServicePort": "name protocol nodePort",
    "Secret": "type",
    "Event": "reason message count type action",
    "EventSource": "component host",
    "EventSeries": "count",
    "PriorityClass": "globalDefault description",
    "PodDisruptionBudgetStatus": "observedGeneration",
    "Subject": "apiGroup namespace",
    "RoleRef": "",
    "PersistentVolumeSpec": "storageClassName persistentVolumeReclaimPolicy",
    "PersistentVolumeClaimSpec": "volumeName",
    "PersistentVolumeClaimStatus": "phase",
    "PersistentVolumeStatus": "phase message reason",
}
_FIELDS = {struct: frozenset(names.split()) for struct, names in _STRINGS.items() if names}


def omits_zero(struct: str, name: str) -> bool:
    """Whether Kubernetes omits this field of a Go struct when it is zero."""
    return name in ("apiVersion", "kind") or name in _FIELDS.get(struct, ())
