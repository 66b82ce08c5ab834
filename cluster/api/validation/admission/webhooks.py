"""Rules of webhook configurations (pkg/apis/admissionregistration/validation).

Match conditions are CEL (`expressions`).
"""

from urllib.parse import urlsplit

from kubeherd.cluster.api import names
from kubeherd.cluster.api.cel.policies.scope import Returns, Scope
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.validation.admission.expressions import expression
from kubeherd.cluster.api.validation.causes import (
    duplicate,
    invalid,
    invalid_each,
    required,
    too_many,
)
from kubeherd.cluster.api.validation.checks import each, label_selector, one_of
from kubeherd.cluster.api.validation.references import qualified_domain
from kubeherd.cluster.api.validation.rules import Rules

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_NO_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_MAX_MATCH_CONDITIONS = 64
_URL_FORM = "; desired format: https://host[/path]"


def create_webhooks(tree: JsonObject) -> list[Cause]:
    """A new webhook configuration, validating or mutating."""
    return _webhooks(tree, _NO_SIDE_EFFECTS, conditions=True)


def update_webhooks(new: JsonObject, old: JsonObject) -> list[Cause]:
    """A changed webhook configuration: old side effects and conditions may stay."""
    clean = all(hook.get("sideEffects") in _NO_SIDE_EFFECTS for hook in old.get("webhooks", ()))
    side_effects = _NO_SIDE_EFFECTS if clean else _SIDE_EFFECTS
    return _webhooks(new, side_effects, conditions=_conditions(new) != _conditions(old))


def _conditions(tree: JsonObject) -> list[JsonValue]:
    return [hook.get("matchConditions") for hook in tree.get("webhooks") or ()]


def _webhooks(tree: JsonObject, side_effects: tuple[str, ...], *, conditions: bool) -> list[Cause]:
    """`conditions`: whether to look at the match conditions, too."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for at, hook in each(tree.get("webhooks"), "webhooks"):
        causes += _webhook(hook, at, side_effects)
        if conditions:
            causes += match_conditions(hook.get("matchConditions"), f"{at}.matchConditions")
        path = f"{at}.admissionReviewVersions"
        causes += _review_versions(hook.get("admissionReviewVersions") or [], path)
        name = hook.get("name", "")
        if name and name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
    return causes


def _webhook(hook: JsonObject, path: str, side_effects: tuple[str, ...]) -> list[Cause]:
    causes = qualified_domain(hook.get("name", ""), f"{path}.name")
    for at, rule in each(hook.get("rules"), f"{path}.rules"):
        causes += rule_with_operations(rule, at)
    causes += one_of(hook.get("failurePolicy"), FAILURE_POLICIES, f"{path}.failurePolicy")
    causes += one_of(hook.get("matchPolicy"), MATCH_POLICIES, f"{path}.matchPolicy")
    effects = hook.get("sideEffects")
    if effects is None:
        detail = f"must specify one of {', '.join(side_effects)}"
        causes.append(required(f"{path}.sideEffects", detail))
    else:
        causes += one_of(effects, side_effects, f"{path}.sideEffects")
    timeout_s = hook.get("timeoutSeconds", 1)
    if not 1 <= timeout_s <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        causes.append(invalid(f"{path}.timeoutSeconds", timeout_s, detail))
    for name in ("namespaceSelector", "objectSelector"):
        causes += label_selector(hook.get(name), f"{path}.{name}")
    if hook.get("reinvocationPolicy") is not None:
        at = f"{path}.reinvocationPolicy"
        causes += one_of(hook["reinvocationPolicy"], REINVOCATION_POLICIES, at)
    return causes + _client(hook.get("clientConfig") or {}, f"{path}.clientConfig")


def _review_versions(versions: list[str], path: str) -> list[Cause]:
    known = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        return [required(path, f"must specify one of {known}")]
    causes: list[Cause] = []
    for index, version in enumerate(versions):
        at = f"{path}[{index}]"
        if version in versions[:index]:
            causes.append(invalid(at, version, "duplicate version"))
        else:
            causes += invalid_each(at, version, names.dns1035_label(version))
    if not set(versions) & set(_REVIEW_VERSIONS):
        causes.append(invalid(path, versions, f"must include at least one of {known}"))
    return causes


def _client(client: JsonObject, path: str) -> list[Cause]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if service is None:
        return _url(url or "", f"{path}.url")
    return _service(service, f"{path}.service")


def _url(url: str, path: str) -> list[Cause]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}{_URL_FORM}")]
    causes: list[Cause] = []
    if parts.scheme != "https":
        detail = f"'https' is the only allowed URL scheme{_URL_FORM}"
        causes.append(invalid(path, parts.scheme, detail))
    user, at_sign, host = parts.netloc.rpartition("@")
    if not host:
        causes.append(invalid(path, host, f"host must be specified{_URL_FORM}"))
    if at_sign:
        causes.append(invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        causes.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        causes.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return causes


def _service(service: JsonObject, path: str) -> list[Cause]:
    """Upstream names the empty one of name and namespace by the name of the other."""
    causes: list[Cause] = []
    if not service.get("namespace"):
        causes.append(required(f"{path}.name"))
    if not service.get("name"):
        causes.append(required(f"{path}.namespace"))
    port, url_path = service.get("port", 0), service.get("path") or "/"
    if not 1 <= port <= 65535:
        detail = "port is not valid: must be between 1 and 65535, inclusive"
        causes.append(invalid(f"{path}.port", port, detail))
    return causes + ([] if url_path == "/" else _url_path(url_path, f"{path}.path"))


def _url_path(url_path: str, path: str) -> list[Cause]:
    if url_path == "//":
        return [invalid(path, url_path, "segment[0] may not be empty")]
    causes: list[Cause] = []
    if not url_path.startswith("/"):
        causes.append(invalid(path, url_path, "must start with a '/'"))
    for index, step in enumerate(url_path[1:].removesuffix("/").split("/")):
        problems = names.dns_subdomain(step) if step else []
        if not step:
            causes.append(invalid(path, url_path, f"segment[{index}] may not be empty"))
        causes += [invalid(path, url_path, f"segment[{index}]: {text}") for text in problems]
    return causes


def match_conditions(
    conditions: list[JsonObject] | None, path: str, *, params: bool = False
) -> list[Cause]:
    """``matchConditions`` of a webhook or a policy: named once, and CEL. `params`: the policy has
    parameters."""
    scope = Scope(params=params)
    causes: list[Cause] = []
    if conditions and len(conditions) > _MAX_MATCH_CONDITIONS:
        causes.append(too_many(path, len(conditions), _MAX_MATCH_CONDITIONS))
    seen: set[str] = set()
    for at, condition in each(conditions, path):
        name = condition.get("name", "")
        text = condition.get("expression", "").strip()
        if not text:
            causes.append(required(f"{at}.expression"))
        else:
            causes += expression(text, scope, Returns.BOOL, f"{at}.expression")
        if not name:
            causes.append(required(f"{at}.name"))
            continue
        causes += invalid_each(f"{at}.name", name, names.qualified_name(name))
        if name in seen:
            causes.append(duplicate(f"{at}.name", name))
        seen.add(name)
    return causes


def rule_with_operations(rule: JsonObject, path: str) -> list[Cause]:
    """Which operations on which resources a webhook or a policy wants to see."""
    operations = rule.get("operations") or []
    causes = _not_with_others(operations, "operations", "operations", path)
    for index, operation in enumerate(operations):
        causes += one_of(operation, _OPERATIONS, f"{path}.operations[{index}]")
    causes += _not_with_others(rule.get("apiGroups") or [], "apiGroups", "API groups", path)
    versions = rule.get("apiVersions") or []
    causes += _not_with_others(versions, "apiVersions", "API versions", path)
    causes += [
        required(f"{path}.apiVersions[{index}]")
        for index, version in enumerate(versions)
        if not version
    ]
    causes += _resources(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") is not None:
        causes += one_of(rule["scope"], _SCOPES, f"{path}.scope")
    return causes


def _not_with_others(values: list[str], name: str, what: str, path: str) -> list[Cause]:
    if not values:
        return [required(f"{path}.{name}")]
    if len(values) > 1 and "*" in values:
        detail = f"if '*' is present, must not specify other {what}"
        return [invalid(f"{path}.{name}", values, detail)]
    return []


def _resources(resources: list[str], path: str) -> list[Cause]:
    causes = [] if resources else [required(path)]
    every_sub: set[str] = set()
    every_resource: set[str] = set()
    for index, text in enumerate(resources):
        at = f"{path}[{index}]"
        resource, slash, sub = text.partition("/")
        if not text:
            causes.append(required(at))
        if not slash:
            continue
        if resource in every_sub:
            detail = f"if '{resource}/*' is present, must not specify {text}"
            causes.append(invalid(at, text, detail))
        if sub in every_resource:
            detail = f"if '*/{sub}' is present, must not specify {text}"
            causes.append(invalid(at, text, detail))
        if sub == "*":
            every_sub.add(resource)
        if resource == "*":
            every_resource.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        detail = "if '*/*' is present, must not specify other resources"
        causes.append(invalid(path, resources, detail))
    plain = [text for text in resources if text and "/" not in text]
    if "*" in plain and plain[-1] != "*":  # upstream remembers only the last one
        detail = "if '*' is present, must not specify other resources without subresources"
        causes.append(invalid(path, resources, detail))
    return causes


RULES = {
    f"{kind}webhookconfigurations.admissionregistration.k8s.io": Rules(
        create_webhooks, update_webhooks
    )
    for kind in ("validating", "mutating")
}
