"""Rules of storage.k8s.io (pkg/apis/storage/validation)."""

from kubeherd.cluster.api import names, quantity
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation import gostructs, internaltypes
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from kubeherd.cluster.api.validation.checks import (
    NOT_NEGATIVE,
    each,
    immutable,
    label_selector,
    not_negative,
    one_of,
    range_text,
)
from kubeherd.cluster.api.validation.rules import Rules
from kubeherd.cluster.api.validation.storage.persistentvolumes import inline_volume

_MAX_PARAMETERS = 512
_MAX_PARAMETERS_BYTES = 256 * 1024
_MAX_ERROR_MESSAGE = 1024
_MAX_DRIVER_NAME = 63
_MAX_NODE_ID = 256
_LEAST_PERIOD_S = 10
_LEAST_TOKEN_S = 600
_MOST_TOKEN_S = 2**32
_CLASS_STAYS = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")


def create_storage_class(tree: JsonObject) -> list[Cause]:
    """A new StorageClass."""
    causes = _provisioner(tree.get("provisioner") or "", "provisioner")
    causes += _parameters(tree.get("parameters") or {})
    if tree.get("reclaimPolicy"):
        causes += one_of(tree["reclaimPolicy"], ("Delete", "Retain"), "reclaimPolicy")
    modes = ("Immediate", "WaitForFirstConsumer")
    causes += one_of(tree.get("volumeBindingMode", ""), modes, "volumeBindingMode")
    topologies = tree.get("allowedTopologies") or []
    seen: list[dict[str, frozenset[str]]] = [{} for _ in topologies]  # so does upstream
    for at, term in each(topologies, "allowedTopologies"):
        causes += _topology(term, f"{at}.matchLabelExpressions", seen)
    return causes


def update_storage_class(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed StorageClass: how volumes are made stays."""
    return create_storage_class(new) + [
        cause for name in _CLASS_STAYS for cause in immutable(new.get(name), old.get(name), name)
    ]


def _provisioner(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    return invalid_each(path, name.lower(), names.qualified_name(name.lower()))


def _parameters(parameters: JsonObject) -> list[Cause]:
    if len(parameters) > _MAX_PARAMETERS:
        return [too_long("parameters", _MAX_PARAMETERS)]
    causes = [
        invalid("parameters", key, "field can not be empty.") for key in parameters if not key
    ]
    size = sum(len(f"{key}{value}".encode()) for key, value in parameters.items())
    if size > _MAX_PARAMETERS_BYTES:
        causes.append(too_long("parameters", _MAX_PARAMETERS_BYTES))
    return causes


def _topology(term: JsonObject, path: str, seen: list[dict[str, frozenset[str]]]) -> list[Cause]:
    causes: list[Cause] = []
    mine: dict[str, frozenset[str]] = {}
    for at, requirement in each(term.get("matchLabelExpressions"), path):
        key, values = requirement.get("key", ""), requirement.get("values") or []
        if not values:
            causes.append(required(f"{at}.values"))
        causes += [
            duplicate(f"{at}.values[{index}]", value)
            for index, value in enumerate(values)
            if value in values[:index]
        ]
        causes += invalid_each(f"{at}.key", key, names.qualified_name(key))
        if key in mine:
            causes.append(duplicate(f"{at}.key", key))
        mine[key] = frozenset(values)
    causes += [duplicate(path, "") for other in seen if other == mine]
    seen.append(mine)
    return causes


def create_volume_attachment(tree: JsonObject) -> list[Cause]:
    """A VolumeAttachment: which driver attaches which volume to which node."""
    spec = tree.get("spec") or {}
    causes = _driver_name(spec.get("attacher", ""), "spec.attacher")
    causes += _source(spec.get("source") or {}, "spec.source")
    node = spec.get("nodeName", "")
    causes += invalid_each("spec.nodeName", node, names.dns_subdomain(node))
    status = tree.get("status") or {}
    attached = (status.get("attachmentMetadata") or {}).items()
    if sum(len(f"{key}{value}".encode()) for key, value in attached) > _MAX_PARAMETERS_BYTES:
        causes.append(too_long("status.attachmentMetadata", _MAX_PARAMETERS_BYTES))
    for name in ("attachError", "detachError"):
        if status.get(name) is not None:
            causes += _volume_error(status[name], f"status.{name}")
    volume = (spec.get("source") or {}).get("persistentVolumeName")
    if volume is not None:
        at = "spec.source.persistentVolumeName"
        causes += invalid_each(at, volume, names.dns_subdomain(volume))
    return causes


def update_volume_attachment(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed VolumeAttachment: its spec stays."""
    causes = create_volume_attachment(new)
    if new.get("spec") == old.get("spec"):
        return causes
    shown = internaltypes.struct("VolumeAttachmentSpec", new.get("spec") or {})
    return causes + immutable(shown, None, "spec")


def _source(source: JsonObject, path: str) -> list[Cause]:
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if volume is None and inline is None:
        return [required(path, _ONE_SOURCE)]
    if volume is not None and inline is not None:
        return [forbidden(path, _ONE_SOURCE)]
    if volume == "":
        detail = "must specify non empty persistentVolumeName"
        return [required(f"{path}.persistentVolumeName", detail)]
    if inline is None:
        return []
    return inline_volume(inline, f"{path}.inlineVolumeSpec")


def _volume_error(error: JsonObject, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(error.get("message", "").encode()) > _MAX_ERROR_MESSAGE:
        causes.append(too_long(f"{path}.message", _MAX_PARAMETERS_BYTES))
    code = error.get("errorCode")
    if code is not None and code < 0:
        causes.append(invalid(f"{path}.errorCode", code, range_text(0, 2**31 - 1)))
    return causes


def _driver_name(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    causes = [too_long(path, _MAX_DRIVER_NAME)] if len(name) > _MAX_DRIVER_NAME else []
    return causes + invalid_each(path, name, names.dns_subdomain(name.lower()))


def create_csi_node(tree: JsonObject) -> list[Cause]:
    """A CSINode: the drivers of a node, each once."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, driver in each((tree.get("spec") or {}).get("drivers"), "spec.drivers"):
        name, node_id = driver.get("name", ""), driver.get("nodeID", "")
        causes += _driver_name(name, f"{at}.name")
        if not node_id:
            causes.append(required(f"{at}.nodeID"))
        if len(node_id) > _MAX_NODE_ID:
            detail = f"must be {_MAX_NODE_ID} characters or less"
            causes.append(invalid(f"{at}.nodeID", node_id, detail))
        causes += not_negative(driver.get("allocatable") or {}, "count", f"{at}.allocatable")
        if name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
        causes += _topology_keys(driver.get("topologyKeys") or [], at)
    return causes


def _topology_keys(keys: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, key in enumerate(keys):
        if not key:
            causes.append(required(path))
        if key in keys[:index]:
            causes.append(duplicate(path, key))
        causes += invalid_each(path, key, names.qualified_name(key))
    return causes


def update_csi_node(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed CSINode: of a driver only its limits may change."""
    before = {
        driver["name"]: gostructs.csi_node_driver(driver)
        for driver in (old.get("spec") or {}).get("drivers") or ()
    }
    return create_csi_node(new) + [
        cause
        for driver in (new.get("spec") or {}).get("drivers") or ()
        if driver["name"] in before
        for cause in immutable(
            gostructs.csi_node_driver(driver), before[driver["name"]], "spec.drivers"
        )
    ]


def create_csi_driver(tree: JsonObject) -> list[Cause]:
    """A CSIDriver."""
    spec = tree.get("spec") or {}
    causes = one_of(spec.get("fsGroupPolicy"), _FS_GROUP_POLICIES, "spec.fsGroupPolicy")
    causes += _token_requests(spec.get("tokenRequests") or [], "spec.tokenRequests")
    modes = ("Persistent", "Ephemeral")
    causes += [
        not_supported("spec.volumeLifecycleModes", mode, modes)
        for mode in spec.get("volumeLifecycleModes") or ()
        if mode not in modes
    ]
    period_s = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period_s is not None and period_s < _LEAST_PERIOD_S:
        detail = f"must be greater than or equal to {_LEAST_PERIOD_S} seconds"
        causes.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period_s, detail))
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        causes.append(invalid("spec.serviceAccountTokenInSecrets", in_secrets, detail))
    return causes


def update_csi_driver(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed CSIDriver: whether and for how long it attaches stays."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    fields = (("attachRequired", "attachedRequired"), ("volumeLifecycleModes",) * 2)
    return create_csi_driver(new) + [
        cause
        for name, shown in fields
        for cause in immutable(after.get(name), before.get(name), f"spec.{shown}")
    ]


def _token_requests(requests: list[JsonObject], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, request in each(requests, path):
        audience, lifetime_s = request.get("audience", ""), request.get("expirationSeconds")
        if audience in seen:
            causes.append(duplicate(f"{at}.audience", audience))
            continue
        seen.add(audience)
        if lifetime_s is None:
            continue
        if lifetime_s < _LEAST_TOKEN_S:
            detail = "may not specify a duration less than 10 minutes"
            causes.append(invalid(f"{at}.expirationSeconds", lifetime_s, detail))
        if lifetime_s > _MOST_TOKEN_S:
            detail = "may not specify a duration larger than 2^32 seconds"
            causes.append(invalid(f"{at}.expirationSeconds", lifetime_s, detail))
    return causes


def create_capacity(tree: JsonObject) -> list[Cause]:
    """A CSIStorageCapacity."""
    causes = label_selector(tree.get("nodeTopology"), "nodeTopology")
    name, amount = tree.get("storageClassName", ""), tree.get("capacity")
    causes += invalid_each("storageClassName", name, names.dns_subdomain(name))
    if amount is not None and quantity.parse(amount).fraction() < 0:
        causes.append(invalid("capacity", amount, NOT_NEGATIVE))
    return causes


def update_capacity(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed CSIStorageCapacity: only the amounts change."""
    causes = create_capacity(new)
    after, before = (gostructs.label_selector(tree.get("nodeTopology")) for tree in (new, old))
    causes += immutable(after, before, "nodeTopology")
    name, former = (tree.get("storageClassName", "") for tree in (new, old))
    return causes + immutable(name, former, "storageClassName")


def create_attributes_class(tree: JsonObject) -> list[Cause]:
    """A VolumeAttributesClass: at least one parameter."""
    causes = _provisioner(tree.get("driverName", ""), "driverName")
    parameters = tree.get("parameters") or {}
    causes += _parameters(parameters)
    if not parameters:
        causes.append(required("parameters", "must contain at least one key/value pair"))
    return causes


def update_attributes_class(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed VolumeAttributesClass: nothing but its metadata may change."""
    causes = [
        forbidden(name, f"updates to {name} are forbidden.")
        for name in ("driverName", "parameters")
        if new.get(name) != old.get(name)
    ]
    return causes + create_attributes_class(new)


RULES = {
    "storageclasses.storage.k8s.io": Rules(create_storage_class, update_storage_class),
    "volumeattachments.storage.k8s.io": Rules(
        create_volume_attachment, update_volume_attachment, {"status": update_volume_attachment}
    ),
    "csinodes.storage.k8s.io": Rules(create_csi_node, update_csi_node),
    "csidrivers.storage.k8s.io": Rules(create_csi_driver, update_csi_driver),
    "csistoragecapacities.storage.k8s.io": Rules(create_capacity, update_capacity),
    "volumeattributesclasses.storage.k8s.io": Rules(
        create_attributes_class, update_attributes_class
    ),
}
