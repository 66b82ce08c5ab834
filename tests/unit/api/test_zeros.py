"""Which fields encoding/json writes although they are zero, by the description of Go types."""

import pytest

from kubeherd.cluster.api.schemas import definitions, zeros
from kubeherd.cluster.api.schemas.gostructs import GoField


def field(name: str, type_: str, flags: str = "") -> GoField:
    return GoField(
        go_name=name.title(),
        name=name,
        number=1,
        type=type_,
        is_map="m" in flags,
        pointer="p" in flags,
        repeated="r" in flags,
        omitempty="o" in flags,
        omitzero="z" in flags,
    )


@pytest.mark.parametrize(
    ("given", "zero"),
    [
        (field("a", "string"), {"a": ""}),
        (field("a", "string", "o"), {}),
        (field("a", "core.v1.Pod", "r"), {"a": None}),
        (field("a", "core.v1.Pod", "p"), {"a": None}),
        (field("a", "core.v1.Pod", "po"), {}),
        (field("a", "core.v1.Pod", "o"), {"a": {}}),
        (field("a", "string", "m"), {"a": None}),
        (field("a", "bytes"), {"a": None}),
        (field("a", "apis.meta.v1.Time", "o"), {"a": None}),
        (field("a", "apis.meta.v1.Time", "oz"), {}),
        (field("a", "api.resource.Quantity", "o"), {"a": "0"}),
        (field("a", "apis.meta.v1.Verbs"), {"a": None}),
        (field("a", "apis.meta.v1.Verbs", "o"), {}),
        (field("unknown", "string"), {}),
        (field("", "apis.meta.v1.TypeMeta"), {}),
    ],
)
def test_omitempty_leaves_no_struct_out_and_omitzero_does(
    given: GoField, zero: dict[str, object]
) -> None:
    assert zeros.printed_of((given,), frozenset({"a"})) == zero


def test_what_is_printed_of_some_definitions() -> None:
    assert zeros.printed("io.k8s.api.apps.v1.ReplicaSetStatus") == {"replicas": 0}
    assert zeros.printed("io.k8s.api.core.v1.EnvVarSource") == {}
    assert zeros.printed("io.k8s.api.core.v1.PodList") == {}
    assert zeros.printed("io.k8s.api.apps.v1.DeploymentSpec") == {
        "selector": None, "template": {}, "strategy": {},
    }  # fmt: skip
    for key in sorted(definitions.keys()):
        assert zeros.printed(key).keys() <= definitions.by_key(key).properties.keys()
