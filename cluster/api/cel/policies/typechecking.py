"""What a ValidatingAdmissionPolicy's expressions get wrong about the objects that it is for.

Source: Kubernetes v1.36, plugin/policy/validating/typechecking.go. Only warnings: a policy applies
whatever they say.
"""

from collections.abc import Sequence
from typing import Final

from kubeherd.cluster.api.cel import engine
from kubeherd.cluster.api.cel.checker.types import DYN, Type
from kubeherd.cluster.api.cel.engine import Environment, Uncompilable
from kubeherd.cluster.api.cel.policies import admission, kinds
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource

_MAX_KINDS: Final = 10


def warnings(spec: JsonObject, resources: Sequence[Resource]) -> list[JsonObject]:
    """The ``expressionWarnings`` of a policy, where these resources are served."""
    found: list[JsonObject] = []
    checked = [(one, _environment(spec, one, resources)) for one in _kinds(spec, resources)]
    for index, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            text = validation.get(name)
            problems = [_problem(text, *one) for one in checked] if text else []
            shown = "\n".join(problem for problem in problems if problem)
            if shown:
                where = f"spec.validations[{index}].{name}"
                found.append({"fieldRef": where, "warning": shown})
    return found


def _problem(text: str, resource: Resource, environment: Environment) -> str:
    try:
        engine.compiled(text, environment)
    except Uncompilable as error:
        issues = str(error).removeprefix("compilation failed: ")
        return f"{resource.api_version}, Kind={resource.kind}: {issues}\n"
    return ""


def _kinds(spec: JsonObject, resources: Sequence[Resource]) -> list[Resource]:
    """The kinds that a policy names: those of rules with a wildcard are not looked at."""
    found: dict[tuple[str, str, str], Resource] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in one for one in (*groups, *versions)):
            continue
        plurals = {one for one in rule.get("resources") or () if "*" not in one and "/" not in one}
        for one in resources:
            if one.group in groups and one.version in versions and one.plural in plurals:
                found[one.group, one.version, one.kind] = one
    return [found[key] for key in sorted(found)][:_MAX_KINDS]


def _environment(
    spec: JsonObject, resource: Resource, resources: Sequence[Resource]
) -> Environment:
    fields = kinds.Fields(admission.FIELDS)
    type_ = kinds.type_of(resource, fields)
    variables: dict[str, Type] = {
        "object": type_, "oldObject": type_, "request": admission.REQUEST,
        "namespaceObject": admission.NAMESPACE, "authorizer": admission.ASKER,
        "variables": admission.VARIABLES,
    }  # fmt: skip
    if spec.get("paramKind") is not None:
        variables["params"] = _params(spec["paramKind"], resources, fields)
    composed: dict[str, Type] = {}
    fields[admission.VARIABLES.name] = composed
    environment = Environment(variables, fields, admission.FUNCTIONS, admission.TYPES)
    for one in spec.get("variables") or ():
        composed[one["name"]] = _composed(one["expression"], environment)
    return environment


def _params(kind: JsonObject, resources: Sequence[Resource], fields: kinds.Fields) -> Type:
    for one in resources:
        if (one.api_version, one.kind) == (kind.get("apiVersion"), kind.get("kind")):
            return kinds.type_of(one, fields)
    return DYN


def _composed(expression: str, environment: Environment) -> Type:
    try:
        return admission.composed_type(engine.compiled(expression, environment).type)
    except Uncompilable:
        return DYN
