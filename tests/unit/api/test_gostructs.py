"""The table of Go structs: which kinds and fields it has, and which zeros Go leaves out."""

import pytest

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.schemas import gostructs


@pytest.mark.parametrize("resource", kinds.ALL, ids=lambda r: f"{r.api_version}/{r.kind}")
def test_every_served_kind_has_a_struct(resource: kinds.Resource) -> None:
    struct = gostructs.struct_of(resource.api_version, resource.kind)
    assert struct is not None
    if "metadata" in {field.name for field in gostructs.fields(struct)}:
        (meta,) = (f for f in gostructs.fields(struct) if f.name == "metadata")
        assert (meta.go_name, meta.number, meta.type) == (
            "ObjectMeta", 1, "apis.meta.v1.ObjectMeta",
        )  # fmt: skip
    if "list" in resource.verbs:
        items = gostructs.struct_of(resource.api_version, f"{resource.kind}List")
        assert items is not None
        assert gostructs.fields(items)[1].type == struct


def test_a_field_is_told_completely() -> None:
    fields = {field.go_name: field for field in gostructs.fields("core.v1.Container")}
    policy = fields["RestartPolicy"]
    assert (policy.name, policy.number, policy.type) == ("restartPolicy", 24, "string")
    assert (policy.pointer, policy.repeated, policy.is_map, policy.omitempty) == (
        True, False, False, True,
    )  # fmt: skip
    assert list(fields)[:7] == [
        "Name", "Image", "Command", "Args", "WorkingDir", "Ports", "EnvFrom",
    ]  # fmt: skip


def test_zeros_that_go_leaves_out_are_those_of_scalars_that_are_no_pointers() -> None:
    pod = gostructs.omitted_zeros("core.v1.PodSpec")
    assert {"hostNetwork", "nodeName"} <= pod
    assert not pod & {"terminationGracePeriodSeconds", "automountServiceAccountToken", "containers"}
    assert "targetPort" not in gostructs.omitted_zeros("core.v1.ServicePort")
    assert "topologyKey" not in gostructs.omitted_zeros("core.v1.PodAffinityTerm")
    assert "name" in gostructs.omitted_zeros("core.v1.SecretKeySelector")  # of an embedded struct
    assert gostructs.omitted_zeros("example.Unknown") == {"apiVersion", "kind"}


def test_definitions_have_the_names_of_their_structs() -> None:
    assert gostructs.struct_of_definition("io.k8s.api.apps.v1.DaemonSet") == "apps.v1.DaemonSet"
    assert gostructs.struct_of_definition(
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
    ) == "apis.apiextensions.v1.JSON"  # fmt: skip
    assert gostructs.items_of("apis.meta.v1.Verbs") == "string"
    assert gostructs.items_of("core.v1.Pod") == ""
