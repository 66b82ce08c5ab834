"""``authorizer``: expressions that ask what the requester, or an account, may do.

Source: Kubernetes v1.36, apiserver/pkg/cel/library/authz.go. Who answers is given by the caller.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from kubeherd.cluster.api import names
from kubeherd.cluster.api.cel.checker.declarations import Functions, member
from kubeherd.cluster.api.cel.checker.types import BOOL, STRING, Kind, Type
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure, Opaque


class Question(msgspec.Struct, frozen=True):
    """Whether somebody may do something: with a `path`, or with a resource. `account` is
    ``namespace/name`` of a service account, "" for the requester."""

    verb: str = ""
    account: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


Decide: TypeAlias = Callable[[Question], tuple[bool, str]]
"""Whether something is allowed, and why or why not."""


class _Asking(msgspec.Struct, frozen=True):
    """A question as far as an expression has put it, and who will answer."""

    decide: Decide
    question: Question = Question()


def _type(name: str) -> Type:
    return Type(Kind.STRUCT, f"kubernetes.authorization.{name}")


AUTHORIZER: Final = _type("Authorizer")
RESOURCE_CHECK: Final = _type("ResourceCheck")
_PATH_CHECK = _type("PathCheck")
_GROUP_CHECK = _type("GroupCheck")
_DECISION = _type("Decision")


def variables(decide: Decide, request_resource: Question) -> dict[str, Any]:
    """The variable ``authorizer``, and the one with the question about the request's object."""
    return {
        "authorizer": Opaque(AUTHORIZER, _Asking(decide)),
        "authorizer.requestResource": Opaque(RESOURCE_CHECK, _Asking(decide, request_resource)),
    }


def _narrowed(value: Opaque, type_: Type, **fields: str) -> Opaque:
    asking: _Asking = value.value
    return Opaque(type_, _Asking(asking.decide, replace(asking.question, **fields)))


def _path(value: Opaque, path: str) -> Opaque:
    if not path.strip():
        raise Failure("path must not be empty")
    return _narrowed(value, _PATH_CHECK, path=path)


def _group(value: Opaque, group: str) -> Opaque:
    return _narrowed(value, _GROUP_CHECK, group=group)


def _service_account(value: Opaque, namespace: str, name: str) -> Opaque:
    if names.dns_subdomain(name):
        raise Failure("Invalid service account name")
    if names.dns_label(namespace):
        raise Failure("Invalid service account namespace")
    return _narrowed(value, AUTHORIZER, account=f"{namespace}/{name}")


def _resource(value: Opaque, resource: str) -> Opaque:
    if not resource.strip():
        raise Failure("resource must not be empty")
    return _narrowed(value, RESOURCE_CHECK, resource=resource)


def _with(field: str) -> Callable[[Opaque, str], Opaque]:
    return lambda value, text: _narrowed(value, RESOURCE_CHECK, **{field: text})


def _check(value: Opaque, verb: str) -> Opaque:
    asking: _Asking = value.value
    return Opaque(_DECISION, asking.decide(replace(asking.question, verb=verb)))


LIBRARY: Final[Functions] = {
    "path": (member("authorizer_path", _PATH_CHECK, _path, AUTHORIZER, STRING),),
    "group": (member("authorizer_group", _GROUP_CHECK, _group, AUTHORIZER, STRING),),
    "serviceAccount": (
        member(
            "authorizer_serviceaccount", AUTHORIZER, _service_account, AUTHORIZER, STRING, STRING
        ),
    ),
    "resource": (member("groupcheck_resource", RESOURCE_CHECK, _resource, _GROUP_CHECK, STRING),),
    **{
        name: (member(f"resourcecheck_{name}", RESOURCE_CHECK, run, RESOURCE_CHECK, STRING),)
        for name, run in ((one, _with(one)) for one in ("subresource", "namespace", "name"))
    },
    **{
        name: (member(f"authorizer_{name.lower()}", RESOURCE_CHECK, run, RESOURCE_CHECK, STRING),)
        for name, run in (
            ("fieldSelector", _with("field_selector")), ("labelSelector", _with("label_selector")),
        )
    },
    "check": (
        member("pathcheck_check", _DECISION, _check, _PATH_CHECK, STRING),
        member("resourcecheck_check", _DECISION, _check, RESOURCE_CHECK, STRING),
    ),
    "allowed": (member("decision_allowed", BOOL, lambda value: value.value[0], _DECISION),),
    "reason": (member("decision_reason", STRING, lambda value: value.value[1], _DECISION),),
    "errored": (member("decision_errored", BOOL, lambda value: False, _DECISION),),
    "error": (member("decision_error", STRING, lambda value: "", _DECISION),),
}  # fmt: skip
TYPES: Final = {
    one.name: one for one in (AUTHORIZER, RESOURCE_CHECK, _PATH_CHECK, _GROUP_CHECK, _DECISION)
}
