"""Rules of resource.k8s.io (pkg/apis/resource/validation): claims, classes and slices of devices.

Selectors are judged by their shape; whether they are CEL is said where CEL is known.
"""

from kubeherd.cluster.api import names
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
    too_many,
)
from kubeherd.cluster.api.validation.checks import each, immutable, one_of
from kubeherd.cluster.api.validation.rules import Rules

_MAX_ITEMS = 32
_MAX_ALTERNATIVES = 8
_MAX_DEVICES = 128
_MAX_EXPRESSION = 10 * 1024
_MAX_DRIVER_NAME = 63
_MAX_POOL_NAME = 253
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_REFERENCE = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)
_WHERE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_ONE_PLACE = f"exactly one of {', '.join(f'`{name}`' for name in _WHERE)} is required"
_EFFECTS = ("NoExecute", "NoSchedule", "None")


def create_claim(tree: JsonObject) -> list[Cause]:
    """A ResourceClaim."""
    return _claim((tree.get("spec") or {}).get("devices") or {}, "spec.devices")


def update_claim(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ResourceClaim or ResourceClaimTemplate: the spec stays."""
    return immutable(new.get("spec"), old.get("spec"), "spec")


def create_claim_template(tree: JsonObject) -> list[Cause]:
    """A ResourceClaimTemplate."""
    spec = (tree.get("spec") or {}).get("spec") or {}
    return _claim(spec.get("devices") or {}, "spec.spec.devices")


def _claim(claim: JsonObject, path: str) -> list[Cause]:
    requests = claim.get("requests") or []
    causes = _named_once(requests, f"{path}.requests", _MAX_ITEMS)
    known: set[str] = set()
    for at, request in each(requests, f"{path}.requests"):
        causes += _request(request, at)
        name = request.get("name", "")
        alternatives = request.get("firstAvailable") or ()
        known |= {name, *(f"{name}/{sub.get('name', '')}" for sub in alternatives)}
    for at, constraint in each(claim.get("constraints"), f"{path}.constraints"):
        causes += _references(constraint.get("requests") or [], known, f"{at}.requests")
        if not constraint.get("matchAttribute") and not constraint.get("distinctAttribute"):
            detail = (
                'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
                "fields are set"
            )
            causes.append(required(at, detail))
    for at, config in each(claim.get("config"), f"{path}.config"):
        causes += _references(config.get("requests") or [], known, f"{at}.requests")
        causes += _configuration(config, at)
    return causes


def _named_once(items: list[JsonObject], path: str, most: int) -> list[Cause]:
    causes = [too_many(path, len(items), most)] if len(items) > most else []
    found = [item.get("name", "") for item in items]
    return causes + [
        duplicate(f"{path}[{index}]", name)
        for index, name in enumerate(found)
        if name in found[:index]
    ]


def _references(items: list[str], known: set[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, name in enumerate(items):
        at = f"{path}[{index}]"
        if name in items[:index]:
            causes.append(duplicate(at, name))
        if name not in known:
            causes.append(invalid(at, name, _REFERENCE))
    return causes


def _label(name: str, path: str) -> list[Cause]:
    return invalid_each(path, name, names.dns_label(name)) if name else [required(path)]


def _request(request: JsonObject, path: str) -> list[Cause]:
    causes = _label(request.get("name", ""), f"{path}.name")
    exact, alternatives = request.get("exactly"), request.get("firstAvailable")
    if exact is None and not alternatives:
        return [*causes, required(path, _ONE_KIND)]
    if exact is not None and alternatives:
        return [*causes, invalid(path, None, f"{_ONE_KIND}, but multiple fields are set")]
    if exact is not None:
        return causes + _devices(exact, f"{path}.exactly")
    at = f"{path}.firstAvailable"
    causes += _named_once(alternatives or [], at, _MAX_ALTERNATIVES)
    for item_path, item in each(alternatives, at):
        causes += _label(item.get("name", ""), f"{item_path}.name") + _devices(item, item_path)
    return causes


def _devices(request: JsonObject, path: str) -> list[Cause]:
    device_class, at = request.get("deviceClassName", ""), f"{path}.deviceClassName"
    causes = [] if device_class else [required(at)]
    if device_class:
        causes += invalid_each(at, device_class, names.dns_subdomain(device_class))
    causes += _selectors(request.get("selectors") or [], f"{path}.selectors")
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode not in ("All", "ExactCount"):
        causes.append(not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount")))
    elif mode == "All" and count != 0:
        detail = "must not be specified when allocationMode is 'All'"
        causes.append(invalid(f"{path}.count", count, detail))
    elif mode == "ExactCount" and count <= 0:
        causes.append(invalid(f"{path}.count", count, "must be greater than zero"))
    for item_path, toleration in each(request.get("tolerations"), f"{path}.tolerations"):
        causes += _toleration(toleration, item_path)
    return causes


def _selectors(selectors: list[JsonObject], path: str) -> list[Cause]:
    causes: list[Cause] = []
    if len(selectors) > _MAX_ITEMS:
        causes.append(too_many(path, len(selectors), _MAX_ITEMS))
    for at, selector in each(selectors, path):
        if selector.get("cel") is None:
            causes.append(required(f"{at}.cel"))
        elif len(selector["cel"].get("expression", "")) > _MAX_EXPRESSION:
            causes.append(too_long(f"{at}.cel.expression", _MAX_EXPRESSION))
    return causes


def _toleration(toleration: JsonObject, path: str) -> list[Cause]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    value, effect = toleration.get("value", ""), toleration.get("effect", "")
    causes = invalid_each(f"{path}.key", key, names.qualified_name(key)) if key else []
    if operator == "Exists" and value:
        detail = "must be empty for operator `Exists`"
        causes.append(invalid(f"{path}.value", value, detail))
    if operator == "Equal":
        causes += invalid_each(f"{path}.value", value, names.label_value(value))
    if not operator:
        causes.append(required(f"{path}.operator"))
    else:
        causes += one_of(operator, ("Equal", "Exists"), f"{path}.operator")
    return causes + (one_of(effect, _EFFECTS, f"{path}.effect") if effect else [])


def _configuration(config: JsonObject, path: str) -> list[Cause]:
    opaque, at = config.get("opaque"), f"{path}.opaque"
    if opaque is None:
        return [required(at)]
    causes = _driver(opaque.get("driver", ""), f"{at}.driver")
    if opaque.get("parameters") is None:
        causes.append(required(f"{at}.parameters"))
    return causes


def _driver(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    causes = [too_long(path, _MAX_DRIVER_NAME)] if len(name) > _MAX_DRIVER_NAME else []
    return causes + invalid_each(path, name, names.dns_subdomain(name.lower()))


def create_device_class(tree: JsonObject) -> list[Cause]:
    """A DeviceClass."""
    spec = tree.get("spec") or {}
    causes = _selectors(spec.get("selectors") or [], "spec.selectors")
    for at, config in each(spec.get("config"), "spec.config"):
        causes += _configuration(config, at)
    return causes


def create_slice(tree: JsonObject) -> list[Cause]:
    """A ResourceSlice: whose devices, in which pool, reachable from where."""
    spec = tree.get("spec") or {}
    causes = _driver(spec.get("driver", ""), "spec.driver") + _pool(spec.get("pool") or {})
    causes += _places(spec)
    if spec.get("sharedCounters") and spec.get("devices"):
        detail = "only one of `sharedCounters` or `devices` is allowed"
        causes.append(invalid("spec", "", detail))
    causes += _named_once(spec.get("devices") or [], "spec.devices", _MAX_DEVICES)
    for at, device in each(spec.get("devices"), "spec.devices"):
        causes += _label(device.get("name", ""), f"{at}.name")
    return causes


def _pool(pool: JsonObject) -> list[Cause]:
    name, count, generation = (
        pool.get("name", ""), pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    )  # fmt: skip
    causes = [] if name else [required("spec.pool.name")]
    if len(name) > _MAX_POOL_NAME:
        causes.append(too_long("spec.pool.name", _MAX_POOL_NAME))
    for part in name.split("/") if name else ():
        causes += invalid_each("spec.pool.name", part, names.dns_subdomain(part))
    if count <= 0:
        at = "spec.pool.resourceSliceCount"
        causes.append(invalid(at, count, "must be greater than zero"))
    if generation < 0:
        detail = "must be greater than or equal to zero"
        causes.append(invalid("spec.pool.generation", generation, detail))
    return causes


def _places(spec: JsonObject) -> list[Cause]:
    causes: list[Cause] = []
    node = spec.get("nodeName")
    if node == "":
        detail = "must be either unset or set to a non-empty string"
        causes.append(invalid("spec.nodeName", node, detail))
    elif node is not None:
        causes += invalid_each("spec.nodeName", node, names.dns_subdomain(node))
    causes += [
        invalid(f"spec.{name}", False, "must be either unset or set to true")
        for name in ("allNodes", "perDeviceNodeSelection")
        if spec.get(name) is False
    ]
    chosen = [name for name in _WHERE if spec.get(name) not in (None, "", False)]
    if not chosen:
        causes.append(required("spec", _ONE_PLACE))
    elif len(chosen) > 1:
        shown = "{" + ", ".join(f"`{name}`" for name in chosen) + "}"
        detail = f"{_ONE_PLACE}, but multiple fields are set"
        causes.append(invalid("spec", shown, detail))
    return causes


def update_slice(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed ResourceSlice: driver, pool and node stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    pool, former = ((spec.get("pool") or {}).get("name", "") for spec in (after, before))
    causes = create_slice(new) + immutable(pool, former, "spec.pool.name")
    causes += immutable(after.get("driver", ""), before.get("driver"), "spec.driver")
    return causes + immutable(after.get("nodeName"), before.get("nodeName"), "spec.nodeName")


RULES = {
    "resourceclaims.resource.k8s.io": Rules(create_claim, update_claim),
    "resourceclaimtemplates.resource.k8s.io": Rules(create_claim_template, update_claim),
    "deviceclasses.resource.k8s.io": Rules(create_device_class),
    "resourceslices.resource.k8s.io": Rules(create_slice, update_slice),
}
