"""Fields that Kubernetes prints although nobody set them.

Go writes a struct field that is neither a pointer nor ``omitempty`` even when it is zero: null
for times (``lastProbeTime: null``), ``{}`` for structs, ``""``, 0 and false for the counters of a
status. Clients see them, and managedFields lists them, so they are part of the stored object.
The walk over an object is compiled once per definition and visits only what can hold such fields.
"""

from collections.abc import Callable
from functools import cache

from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_CONDITION_TIMES = {"lastTransitionTime": None}
_ALWAYS: dict[str, JsonObject] = {
    "PodCondition": {"lastProbeTime": None, **_CONDITION_TIMES},
    "NodeCondition": {"lastHeartbeatTime": None, **_CONDITION_TIMES},
    "NamespaceCondition": _CONDITION_TIMES,
    "DaemonSetCondition": _CONDITION_TIMES,
    "ReplicaSetCondition": _CONDITION_TIMES,
    "StatefulSetCondition": _CONDITION_TIMES,
    "ReplicationControllerCondition": _CONDITION_TIMES,
    "DeploymentCondition": {"lastUpdateTime": None, **_CONDITION_TIMES},
    "JobCondition": {"lastProbeTime": None, **_CONDITION_TIMES},
    "ContainerStateRunning": {"startedAt": None},
    "ContainerStateTerminated": {"exitCode": 0, "startedAt": None, "finishedAt": None},
    "ContainerStatus": {
        "name": "", "state": {}, "lastState": {}, "ready": False, "restartCount": 0, "image": "",
        "imageID": "",
    },
    "DaemonSetStatus": {
        "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    "ReplicaSetStatus": {"replicas": 0},
    "ReplicationControllerStatus": {"replicas": 0},
    "StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    "PodDisruptionBudgetStatus": {
        "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
    },
    "ControllerRevision": {"revision": 0},
    "LimitRangeSpec": {"limits": None},
    "ProjectedVolumeSource": {"sources": None},
    "PriorityClass": {"value": 0},
    "PolicyRule": {"verbs": []},
    "ServiceStatus": {"loadBalancer": {}},
    "NodeSystemInfo": {
        "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
        "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "",
        "operatingSystem": "", "architecture": "",
    },
    "NodeStatus": {
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {},
    },
    "NodeDaemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    "ObjectMeta": {},
}  # fmt: skip
_SPEC_STATUS: JsonObject = {"spec": {}, "status": {}}
_BY_KIND: dict[str, JsonObject] = {
    "Pod": _SPEC_STATUS,
    "Node": _SPEC_STATUS,
    "Namespace": _SPEC_STATUS,
    "DaemonSet": {"status": {}},
    "Deployment": {"status": {}},
    "ReplicaSet": {"status": {}},
    "StatefulSet": {"status": {}},
    "ReplicationController": {"status": {}},
    "Job": {"status": {}},
    "CronJob": {"status": {}},
    "Service": {"status": {}},
    "PodDisruptionBudget": {"status": {}},
    "LimitRange": {"spec": {}},
    "ResourceQuota": _SPEC_STATUS,
    "PersistentVolume": _SPEC_STATUS,
    "PersistentVolumeClaim": _SPEC_STATUS,
    "Ingress": {"status": {"loadBalancer": {}}},
    "Lease": {"spec": {}},
    "Role": {"rules": None},
    "ClusterRole": {"rules": None},
}
_EVENT_V1: JsonObject = {
    "involvedObject": {}, "source": {}, "firstTimestamp": None, "lastTimestamp": None,
    "eventTime": None, "reportingComponent": "", "reportingInstance": "",
}  # fmt: skip
_EVENTS_EVENT: JsonObject = {
    "eventTime": None, "regarding": {}, "deprecatedSource": {}, "deprecatedFirstTimestamp": None,
    "deprecatedLastTimestamp": None,
}  # fmt: skip
_BY_KEY: dict[str, JsonObject] = {
    "io.k8s.api.core.v1.Event": _EVENT_V1,
    "io.k8s.api.events.v1.Event": _EVENTS_EVENT,
}

_Filler = Callable[[JsonObject], None]


def fill(resource: Resource, tree: JsonObject) -> None:
    """Add the fields that Kubernetes always prints, in place."""
    filler = _filler(schemas.key_of(resource.group, resource.version, resource.kind))
    if filler is not None:
        filler(tree)


def _template(key: str) -> JsonObject:
    go_type = key.rpartition(".")[2]
    return _BY_KEY.get(key) or _ALWAYS.get(go_type) or _BY_KIND.get(go_type) or {}


def _fresh(value: JsonValue) -> JsonValue:
    """A copy of a template's value, so that no two objects share one."""
    if isinstance(value, dict):
        return {name: _fresh(item) for name, item in value.items()}
    return [] if isinstance(value, list) else value


@cache
def _filler(key: str) -> _Filler | None:
    """The compiled filler of a definition, or None where there is nothing to fill in."""
    if not _needs_filling(key, frozenset()):
        return None
    definition = schemas.by_key(key)
    template = tuple(_template(key).items())
    inner: list[tuple[str, FieldType, _Filler]] = []
    for name, field in definition.properties.items():
        target = _target(field)
        filler = _filler(target) if target and target != key else None
        if filler is not None:
            inner.append((name, field.type, filler))

    def fill_object(tree: JsonObject) -> None:
        for name, value in template:
            if name not in tree:
                tree[name] = _fresh(value)
        for name, type_, filler in inner:
            value = tree.get(name)
            if value is None:
                continue
            if type_ is FieldType.OBJECT:
                filler(value)
                continue
            for item in value if type_ is FieldType.LIST else value.values():
                filler(item)

    return fill_object


def _target(field: Field) -> str:
    """The definition that a field, its items or its values are of."""
    inner = field.items or field.additional or field
    return inner.definition_key


@cache
def _needs_filling(key: str, above: frozenset[str]) -> bool:
    if _template(key):
        return True
    above |= {key}
    return any(
        _needs_filling(target, above)
        for field in schemas.by_key(key).properties.values()
        if (target := _target(field)) and target not in above
    )
