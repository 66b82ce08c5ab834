"""Expressions of admission: of policies, and the match conditions of webhooks.

Source: Kubernetes v1.36, apiserver/pkg/admission/plugin/cel (compile.go, composition.go,
activation.go). Objects are seen as they are, without a type; `request` and `namespaceObject` have
theirs. What expressions cost is bounded for each, and for all of a policy and one binding together.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from kubeherd.cluster.api.cel import effort, engine
from kubeherd.cluster.api.cel.checker import types
from kubeherd.cluster.api.cel.checker.declarations import Functions, joined
from kubeherd.cluster.api.cel.checker.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Kind,
    Type,
    list_of,
    map_of,
)  # fmt: skip
from kubeherd.cluster.api.cel.effort import TooCostly
from kubeherd.cluster.api.cel.engine import Environment, Program, Uncompilable
from kubeherd.cluster.api.cel.functions import authorization, library
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure
from kubeherd.cluster.api.cel.policies import objects
from kubeherd.cluster.api.cel.policies.scope import Returns, Scope, Variables

BUDGET: Final = 10_000_000
"""What all expressions of a policy may cost for one binding and one parameter."""
MATCH_BUDGET: Final = 2_500_000
"""What all match conditions of a policy or webhook may cost."""
_SHORT_CHARS, _LONG_CHARS = 512, 4096
_LEVELS = 16


class Failed(Exception):
    """An expression has no value. The text says why."""


class Spent(Exception):
    """The budget is used up."""

    def __init__(self) -> None:
        super().__init__(effort.SPENT)


# --- what expressions may name ---


def _struct(name: str) -> Type:
    return Type(Kind.STRUCT, f"kubernetes.{name}")


_STRINGS, _TEXTS = list_of(STRING), map_of(STRING, STRING)
REQUEST: Final = _struct("AdmissionRequest")
NAMESPACE: Final = _struct("Namespace")
VARIABLES: Final = _struct("variables")
ASKER: Final = authorization.AUTHORIZER
FIELDS: Final[dict[str, Mapping[str, Type]]] = {
    "kubernetes.GroupVersionKind": dict.fromkeys(("group", "version", "kind"), STRING),
    "kubernetes.GroupVersionResource": dict.fromkeys(("group", "version", "resource"), STRING),
    "kubernetes.UserInfo": {
        "username": STRING, "uid": STRING, "groups": _STRINGS, "extra": map_of(STRING, _STRINGS),
    },
    REQUEST.name: {
        "kind": _struct("GroupVersionKind"), "resource": _struct("GroupVersionResource"),
        "subResource": STRING, "requestKind": _struct("GroupVersionKind"),
        "requestResource": _struct("GroupVersionResource"), "requestSubResource": STRING,
        "name": STRING, "namespace": STRING, "operation": STRING,
        "userInfo": _struct("UserInfo"), "dryRun": BOOL, "options": DYN,
    },
    "kubernetes.NamespaceSpec": {"finalizers": _STRINGS},
    "kubernetes.NamespaceCondition": {
        "status": STRING, "type": STRING, "lastTransitionTime": TIMESTAMP, "message": STRING,
        "reason": STRING,
    },
    "kubernetes.NamespaceStatus": {
        "conditions": list_of(_struct("NamespaceCondition")), "phase": STRING,
    },
    "kubernetes.NamespaceMetadata": {
        "name": STRING, "generateName": STRING, "namespace": STRING, "labels": _TEXTS,
        "annotations": _TEXTS, "UID": STRING, "creationTimestamp": TIMESTAMP,
        "deletionGracePeriodSeconds": INT, "deletionTimestamp": TIMESTAMP, "generation": INT,
        "resourceVersion": STRING, "finalizers": _STRINGS,
    },
    NAMESPACE.name: {
        "metadata": _struct("NamespaceMetadata"), "spec": _struct("NamespaceSpec"),
        "status": _struct("NamespaceStatus"),
    },
}  # fmt: skip
"""The fields of the types that only these expressions have."""
FUNCTIONS: Final[Functions] = joined([library.FUNCTIONS, authorization.LIBRARY])
_PATCH_FUNCTIONS: Final[Functions] = joined([FUNCTIONS, objects.LIBRARY])
TYPES: Final = {**library.TYPES, **authorization.TYPES, REQUEST.name: REQUEST,
                NAMESPACE.name: NAMESPACE}  # fmt: skip
_COMPOSED = frozenset((BOOL, BYTES, DOUBLE, DURATION, INT, NULL, STRING, TIMESTAMP, UINT))
_RETURNS = {
    Returns.BOOL: (BOOL,),
    Returns.STRING: (STRING,),
    Returns.STRING_OR_NULL: (STRING, NULL),
    Returns.OBJECT: (objects.OBJECT,),
    Returns.PATCH: (list_of(objects.PATCH),),
}


@lru_cache(maxsize=128)
def _environment(scope: Scope) -> Environment:
    variables = {"object": DYN, "oldObject": DYN, "request": REQUEST, "namespaceObject": NAMESPACE}
    fields = dict(FIELDS)
    if scope.params:
        variables["params"] = DYN
    if scope.authorizer:
        variables["authorizer"] = ASKER
        variables["authorizer.requestResource"] = authorization.RESOURCE_CHECK
    if scope.variables is not None:
        variables["variables"] = VARIABLES
        fields[VARIABLES.name] = _Composed(scope.variables, scope.seen)
    if scope.patches:
        return Environment(
            variables, objects.Fields(fields), _PATCH_FUNCTIONS, objects.Types(TYPES)
        )
    return Environment(variables, fields, FUNCTIONS, TYPES)


class _Composed(Mapping[str, Type]):
    """The types of the first `seen` variables by their names."""

    def __init__(self, variables: Variables, seen: int) -> None:
        self._variables = variables
        self._seen = seen

    def __getitem__(self, name: str) -> Type:
        place = self._variables.places[name]
        if place >= self._seen:
            raise KeyError(name)
        found: Type = self._variables.types[place]
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name, place in self._variables.places.items() if place < self._seen)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _compose(scope: Scope) -> None:
    """Find the types of the variables that an expression may name: each sees those before it."""
    variables = scope.variables
    if variables is None:
        return
    for place in range(len(variables.types), scope.seen):
        program = _program(variables.pairs[place][1], _before(scope, place))
        type_ = composed_type(program.type) if isinstance(program, Program) else DYN
        variables.types[place] = type_


def _before(scope: Scope, place: int) -> Scope:
    """What the expression of a variable may name."""
    return replace(scope, seen=place, patches=False, authorizer=True)


def composed_type(type_: Type, levels: int = _LEVELS) -> Type:
    """The type that others see of a variable: what only a library knows is not told, nor what lies
    deeper than some levels: thousands of variables, each in the next, would make it endless."""
    if not type_.parameters and type_ in _COMPOSED:
        return type_
    if type_.kind in (Kind.LIST, Kind.MAP) and type_.parameters and levels:
        inner = tuple(composed_type(one, levels - 1) for one in type_.parameters)
        return Type(type_.kind, "", inner)
    return DYN


def _program(expression: str, scope: Scope) -> Program | str:
    """A compiled expression, or why it is none."""
    if len(expression) > _LONG_CHARS:
        return _kept_long(expression, scope)
    kept = _kept_short if len(expression) <= _SHORT_CHARS else _kept
    return kept(expression, scope)


def _compiled(expression: str, scope: Scope) -> Program | str:
    _compose(scope)
    try:
        return engine.compiled(expression, _environment(scope))
    except Uncompilable as error:
        return str(error)


# A character of a compiled expression takes a quarter of a kilobyte: 64 MiB each at most.
_kept_short = lru_cache(maxsize=512)(_compiled)
_kept = lru_cache(maxsize=64)(_compiled)
_kept_long = lru_cache(maxsize=2)(_compiled)


def problem_of(expression: str, scope: Scope, returns: Returns) -> str:
    """What keeps an expression from being used, "" if nothing does."""
    with effort.endless():
        program = _program(expression, scope)
    if isinstance(program, str):
        return program
    wanted = _RETURNS.get(returns)
    if wanted is None or program.type in wanted:
        return ""
    shown = " ".join(types.declared_name(one) for one in wanted)
    if len(wanted) > 1:
        shown = f"one of [{shown}]"
    return f"must evaluate to {shown} but got {types.declared_name(program.type)}"


# --- evaluation ---


class Activation:
    """What the expressions of one policy or webhook see of a write, and what they may cost."""

    def __init__(self, values: Mapping[str, Any], scope: Scope) -> None:
        """`values` has what `scope` names, without the variables."""
        self._scope = scope
        self._values = dict(values)
        self._unpaid = 0
        if scope.variables is not None:
            self._values["variables"] = _Values(self, scope.variables)
        self.left = BUDGET

    def value(self, expression: str) -> Any:
        """The value of an expression; Failed if it has none, Spent when the budget is used up."""
        spent = effort.current()
        if spent.is_spent:
            raise Spent
        try:
            program = _program(expression, self._scope)
        except TooCostly:
            raise Spent from None
        if isinstance(program, str):
            raise Failed(f"compilation error: {program}")
        self._unpaid = 0
        found = program.run(self._values)
        self.left -= found.cost + self._unpaid
        if self.left < 0 or spent.is_spent:
            raise Spent
        if found.failure:
            raise Failed(f"expression '{expression}' resulted in error: {found.failure}")
        return found.value

    def compose(self, variables: Variables, place: int) -> Any:
        """The value of a variable, which sees those before it; Failure if it has none, TooCostly
        if there is no effort left to find it."""
        name, expression = variables.pairs[place]
        program = _program(expression, _before(self._scope, place))
        if isinstance(program, str):
            raise Failure(f'composited variable "{name}" fails to compile: {program}')
        found = program.run(self._values)
        self._unpaid += found.cost
        if found.failure:
            raise Failure(f'composited variable "{name}" fails to evaluate: {found.failure}')
        return found.value


class _Values(dict[str, Any]):
    """``variables``: each is worked out when it is first asked for."""

    def __init__(self, seen: Activation, variables: Variables) -> None:
        super().__init__()
        self._seen = seen
        self._variables = variables
        self._failed: dict[str, Failure] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._variables.places

    def __missing__(self, name: str) -> Any:
        if name in self._failed:
            raise self._failed[name]
        try:
            value = self._seen.compose(self._variables, self._variables.places[name])
        except Failure as failure:
            self._failed[name] = failure
            raise
        self[name] = value
        return value
