"""Which fields encoding/json writes although they are zero, by the description of Go types."""

import update_zeros

from kubeherd.cluster.api.schemas import definitions, zeros

FIELDS = [
    ["TypeMeta", "", 0, "apis.meta.v1.TypeMeta", "i"],
    ["Name", "name", 1, "string", ""],
    ["Hidden", "hidden", 2, "string", "o"],
    ["Items", "items", 3, "core.v1.Thing", "r"],
    ["Pointer", "pointer", 4, "core.v1.Thing", "p"],
    ["Struct", "struct", 5, "core.v1.Thing", "o"],
    ["Since", "since", 6, "apis.meta.v1.Time", "o"],
    ["Created", "created", 7, "apis.meta.v1.Time", "oz"],
    ["Amount", "amount", 8, "api.resource.Quantity", "o"],
    ["Verbs", "verbs", 9, "core.v1.Verbs", "o"],
    ["Unknown", "unknown", 10, "string", ""],
]


def test_omitempty_leaves_no_struct_out_and_omitzero_does() -> None:
    known = {name for _, name, *_ in FIELDS if name not in ("", "unknown")}
    assert update_zeros.printed(FIELDS, known, {"core.v1.Verbs"}) == {
        "name": "", "items": None, "pointer": None, "struct": {}, "since": None, "amount": "0",
    }  # fmt: skip


def test_every_definition_of_the_table_is_shipped_and_has_the_fields() -> None:
    assert zeros.printed("io.k8s.api.apps.v1.ReplicaSetStatus") == {"replicas": 0}
    assert zeros.printed("io.k8s.api.core.v1.EnvVarSource") == {}
    for key in sorted(definitions.keys()):
        assert zeros.printed(key).keys() <= definitions.by_key(key).properties.keys()
