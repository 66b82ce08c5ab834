"""Short-hand for admission policies on a server in process."""

from typing import Any

from apicluster import Cluster

GROUP = "/apis/admissionregistration.k8s.io/v1"


def rules(
    resource: str = "configmaps", group: str = "", *operations: str, **more: Any
) -> dict[str, Any]:
    """What a policy is about: writes to one resource."""
    return {
        "apiGroups": [group], "apiVersions": ["*"], "resources": [resource],
        "operations": list(operations) or ["CREATE", "UPDATE"], **more,
    }  # fmt: skip


def validating(name: str, *validations: Any, **spec: Any) -> dict[str, Any]:
    """A ValidatingAdmissionPolicy about ConfigMaps; a validation may be its expression alone."""
    whole = [{"expression": one} if isinstance(one, str) else one for one in validations]
    constraints = {"resourceRules": spec.pop("rules", [rules()]), **spec.pop("match", {})}
    return {
        "metadata": {"name": name},
        "spec": {"matchConstraints": constraints, "validations": whole, **spec},
    }


def mutating(name: str, *expressions: str, **spec: Any) -> dict[str, Any]:
    """A MutatingAdmissionPolicy about ConfigMaps; lists are JSON patches."""
    mutations = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": one}}
        if one.lstrip().startswith("[")
        else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": one}}
        for one in expressions
    ]
    constraints = {"resourceRules": spec.pop("rules", [rules()]), **spec.pop("match", {})}
    return {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": constraints, "mutations": mutations,
            "reinvocationPolicy": "Never", **spec,
        },
    }  # fmt: skip


async def bind(cluster: Cluster, policy: dict[str, Any], **spec: Any) -> None:
    """Create a policy and a binding of it; both must be accepted."""
    kind = "mutating" if "mutations" in policy["spec"] else "validating"
    name = policy["metadata"]["name"]
    if kind == "validating":
        spec = {"validationActions": ["Deny"], **spec}
    binding_name = spec.pop("name", f"{name}-b")
    binding = {"metadata": {"name": binding_name}, "spec": {"policyName": name, **spec}}
    for path, body in (("policies", policy), ("policybindings", binding)):
        created = await cluster.post(f"{GROUP}/{kind}admission{path}", body)
        assert created.status == 201 or (path == "policies" and created.status == 409), (
            created.message
        )


async def unbind(cluster: Cluster, name: str, kind: str = "validating") -> None:
    """Delete a policy and its binding."""
    for path in (f"policies/{name}", f"policybindings/{name}-b"):
        assert (await cluster.delete(f"{GROUP}/{kind}admission{path}")).status == 200
