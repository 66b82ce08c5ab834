"""Names of Go and JSON types as they appear in decoding errors.

The schemas do not tell Go's named string types, so the ones that a person meets are listed here;
any other string is called ``string``.
"""

from kubeherd.cluster.api.jsontypes import JsonValue
from kubeherd.cluster.api.schemas.definitions import Field, FieldType

_SCALARS: dict[FieldType, str] = {
    FieldType.STRING: "string",
    FieldType.INT32: "int32",
    FieldType.INT64: "int64",
    FieldType.NUMBER: "float64",
    FieldType.BOOL: "bool",
    FieldType.QUANTITY: "resource.Quantity",
    FieldType.INT_OR_STRING: "intstr.IntOrString",
    FieldType.TIME: "v1.Time",
    FieldType.MICRO_TIME: "v1.MicroTime",
    FieldType.BYTES: "[]uint8",
    FieldType.RAW: "interface {}",
    FieldType.RAW_OBJECT: "map[string]interface {}",
}
_NAMED: dict[tuple[str, str], str] = {
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy",
    ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("PodSpec", "preemptionPolicy"): "v1.PreemptionPolicy",
    ("PodStatus", "phase"): "v1.PodPhase",
    ("PodStatus", "qosClass"): "v1.PodQOSClass",
    ("PodCondition", "type"): "v1.PodConditionType",
    ("PodCondition", "status"): "v1.ConditionStatus",
    ("Container", "imagePullPolicy"): "v1.PullPolicy",
    ("Container", "restartPolicy"): "v1.ContainerRestartPolicy",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("ContainerPort", "protocol"): "v1.Protocol",
    ("ServicePort", "protocol"): "v1.Protocol",
    ("Toleration", "operator"): "v1.TolerationOperator",
    ("Toleration", "effect"): "v1.TaintEffect",
    ("Taint", "effect"): "v1.TaintEffect",
    ("NodeSelectorRequirement", "operator"): "v1.NodeSelectorOperator",
    ("LabelSelectorRequirement", "operator"): "v1.LabelSelectorOperator",
    ("HTTPGetAction", "scheme"): "v1.URIScheme",
    ("HostPathVolumeSource", "type"): "v1.HostPathType",
    ("VolumeMount", "mountPropagation"): "v1.MountPropagationMode",
    ("DaemonSetUpdateStrategy", "type"): "v1.DaemonSetUpdateStrategyType",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("StatefulSetUpdateStrategy", "type"): "v1.StatefulSetUpdateStrategyType",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("Secret", "type"): "v1.SecretType",
    ("NamespaceStatus", "phase"): "v1.NamespacePhase",
    ("NodeCondition", "type"): "v1.NodeConditionType",
    ("NodeCondition", "status"): "v1.ConditionStatus",
    ("ObjectMeta", "uid"): "types.UID",
    ("OwnerReference", "uid"): "types.UID",
    ("ObjectReference", "uid"): "types.UID",
    ("ResourceRequirements", "limits"): "v1.ResourceList",
    ("ResourceRequirements", "requests"): "v1.ResourceList",
    ("NodeStatus", "capacity"): "v1.ResourceList",
    ("NodeStatus", "allocatable"): "v1.ResourceList",
}


def json_type_of(value: JsonValue) -> str:
    """What Go calls a JSON value: ``bool``, ``string``, ``array``, ``object``, ``number``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def go_type_of(field: Field, struct: str, name: str) -> str:
    """The Go type of a field of `struct`: ``string``, ``[]v1.Container``, ``v1.PodSpec``."""
    if field.type is FieldType.LIST and field.items is not None:
        return f"[]{go_type_of(field.items, '', '')}"
    named = _NAMED.get((struct, name))
    if named is not None:
        return named
    if field.type is FieldType.MAP and field.additional is not None:
        return f"map[string]{go_type_of(field.additional, '', '')}"
    if field.definition is not None:
        package = field.definition_key.rpartition(".")[0].rpartition(".")[2]
        return f"{package}.{field.definition.go_type}"
    return _SCALARS[field.type]
