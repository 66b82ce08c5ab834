"""Defaults of admissionregistration.k8s.io and apiregistration.k8s.io (defaults.go of both)."""

from kubeherd.cluster.api.jsontypes import JsonObject


def validating_webhooks(tree: JsonObject) -> None:
    """ValidatingWebhookConfiguration: fails closed, sees everything, waits ten seconds."""
    for webhook in tree.get("webhooks") or ():
        _webhook(webhook)


def mutating_webhooks(tree: JsonObject) -> None:
    """MutatingWebhookConfiguration: as a validating one, and never invoked twice."""
    for webhook in tree.get("webhooks") or ():
        _webhook(webhook)
        webhook.setdefault("reinvocationPolicy", "Never")


def _webhook(webhook: JsonObject) -> None:
    webhook.setdefault("failurePolicy", "Fail")
    webhook.setdefault("timeoutSeconds", 10)
    _match(webhook)
    _scope(webhook.get("rules"))
    service = (webhook.get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _match(tree: JsonObject) -> None:
    tree.setdefault("matchPolicy", "Equivalent")
    tree.setdefault("namespaceSelector", {})
    tree.setdefault("objectSelector", {})


def _scope(rules: list[JsonObject] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def admission_policy(tree: JsonObject) -> None:
    """ValidatingAdmissionPolicy and MutatingAdmissionPolicy: fail closed."""
    spec = tree.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _resources(spec.get("matchConstraints"))


def admission_policy_binding(tree: JsonObject) -> None:
    """The bindings of both kinds of policy."""
    _resources((tree.get("spec") or {}).get("matchResources"))


def _resources(match: JsonObject | None) -> None:
    if match is None:
        return
    _match(match)
    _scope(match.get("resourceRules"))
    _scope(match.get("excludeResourceRules"))


def api_service(tree: JsonObject) -> None:
    """APIService: behind port 443 of its Service."""
    service = (tree.get("spec") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
