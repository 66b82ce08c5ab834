"""The columns of role bindings, signing requests, admission and flow control."""

from datetime import datetime

from kubeherd.cluster.api import duration
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    age,
    condition,
    items,
    member,
    name_of,
)


def _subjects(tree: JsonObject, kind: str) -> str:
    found = [s for s in items(tree, "subjects") if s.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{s.get('namespace') or ''}/{s.get('name')}" for s in found)
    return ", ".join(s.get("name", "") for s in found)


def _binding(tree: JsonObject, now: datetime) -> list[Cell]:
    role = member(tree, "roleRef")
    return [
        name_of(tree),
        f"{role.get('kind')}/{role.get('name')}",
        age(tree, now),
        _subjects(tree, "User"),
        _subjects(tree, "Group"),
        _subjects(tree, "ServiceAccount"),
    ]


ROLE_BINDINGS = Printer(
    (
        NAME,
        Column("Role"),
        AGE,
        Column("Users", wide=True),
        Column("Groups", wide=True),
        Column("ServiceAccounts", wide=True),
    ),
    _binding,
)


def _request_status(tree: JsonObject) -> str:
    if condition(tree, "Denied"):
        word = "Denied"
    else:
        word = "Approved" if condition(tree, "Approved") else "Pending"
    if condition(tree, "Failed"):
        word += ",Failed"
    return word + ",Issued" if member(tree, "status").get("certificate") else word


def _signing_request(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    seconds = spec.get("expirationSeconds")
    return [
        name_of(tree),
        age(tree, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else duration.human(seconds),
        _request_status(tree),
    ]


CERTIFICATE_SIGNING_REQUESTS = Printer(
    (
        NAME,
        AGE,
        Column("SignerName"),
        Column("Requestor"),
        Column("RequestedDuration"),
        Column("Condition"),
    ),
    _signing_request,
)


def _webhooks(tree: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(tree), len(items(tree, "webhooks")), age(tree, now)]


WEBHOOK_CONFIGURATIONS = Printer((NAME, Column("Webhooks", "integer"), AGE), _webhooks)


def _param_kind(tree: JsonObject) -> str:
    kind = member(tree, "spec", "paramKind")
    return f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET


def _policy(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    rules = items(spec, "validations") or items(spec, "mutations")
    return [name_of(tree), len(rules), _param_kind(tree), age(tree, now)]


_PARAM_KIND = Column("ParamKind")
VALIDATING_ADMISSION_POLICIES = Printer(
    (NAME, Column("Validations", "integer"), _PARAM_KIND, AGE), _policy
)
MUTATING_ADMISSION_POLICIES = Printer(
    (NAME, Column("Mutations", "integer"), _PARAM_KIND, AGE), _policy
)


def _policy_binding(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    ref = member(spec, "paramRef")
    shown = UNSET
    if ref:
        name = ref.get("name") or "*"
        shown = f"{ref['namespace']}/{name}" if ref.get("namespace") else name
    return [name_of(tree), spec.get("policyName") or "", shown, age(tree, now)]


ADMISSION_POLICY_BINDINGS = Printer(
    (
        NAME,
        Column("PolicyName"),
        Column("ParamRef"),
        AGE,
    ),
    _policy_binding,
)


def _flow_schema(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    dangling = condition(tree, "Dangling").get("status")
    return [
        name_of(tree),
        member(spec, "priorityLevelConfiguration").get("name") or "",
        spec.get("matchingPrecedence") or 0,
        member(spec, "distinguisherMethod").get("type") or NONE,
        age(tree, now),
        dangling or "?",
    ]


FLOW_SCHEMAS = Printer(
    (
        NAME,
        Column("PriorityLevel"),
        Column("MatchingPrecedence"),
        Column("DistinguisherMethod"),
        AGE,
        Column("MissingPL"),
    ),
    _flow_schema,
)


def _priority_level(tree: JsonObject, now: datetime) -> list[Cell]:
    spec = member(tree, "spec")
    limited = member(spec, "limited") or member(spec, "exempt")
    queuing = member(limited, "limitResponse", "queuing")
    shares = limited.get("nominalConcurrencyShares")
    return [
        name_of(tree),
        spec.get("type") or "",
        NONE if shares is None else shares,
        queuing.get("queues") or NONE,
        queuing.get("handSize") or NONE,
        queuing.get("queueLengthLimit") or NONE,
        age(tree, now),
    ]


PRIORITY_LEVELS = Printer(
    (
        NAME,
        Column("Type"),
        Column("NominalConcurrencyShares"),
        Column("Queues"),
        Column("HandSize"),
        Column("QueueLengthLimit"),
        AGE,
    ),
    _priority_level,
)


def _api_service(tree: JsonObject, now: datetime) -> list[Cell]:
    service = member(tree, "spec", "service")
    available = condition(tree, "Available")
    word = str(available.get("status") or "Unknown")
    if available and word != "True":
        word = f"{word} ({available.get('reason') or ''})"
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    return [name_of(tree), shown, word, age(tree, now)]


API_SERVICES = Printer(
    (
        NAME,
        Column("Service"),
        Column("Available"),
        AGE,
    ),
    _api_service,
)
