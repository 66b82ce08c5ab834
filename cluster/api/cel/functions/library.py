"""All that rules may call: CEL itself and the libraries that Kubernetes 1.36 adds to it.

Source: k8s.io/apiserver/pkg/cel/environment/base.go. An expression that calls anything else is
refused when it is written.
"""

from kubeherd.cluster.api.cel.checker import types
from kubeherd.cluster.api.cel.checker.declarations import Functions, joined
from kubeherd.cluster.api.cel.functions import (
    lists,
    namedformats,
    networks,
    optionals,
    quantities,
    standard,
    strings,
    urls,
    versions,
)

FUNCTIONS: Functions = joined(
    [
        standard.LIBRARY,
        optionals.LIBRARY,
        urls.LIBRARY,
        lists.LIBRARY,
        quantities.LIBRARY,
        strings.LIBRARY,
        networks.LIBRARY,
        namedformats.LIBRARY,
        versions.LIBRARY,
    ]
)
_DYN = types.DYN
TYPES: dict[str, types.Type] = {
    "bool": types.BOOL,
    "bytes": types.BYTES,
    "double": types.DOUBLE,
    "dyn": types.DYN,
    "google.protobuf.Duration": types.DURATION,
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "int": types.INT,
    "list": types.list_of(_DYN),
    "map": types.map_of(_DYN, _DYN),
    "null_type": types.NULL,
    "optional_type": types.optional_of(_DYN),
    "string": types.STRING,
    "type": types.TYPE,
    "uint": types.UINT,
    **{one.name: one for one in (
        types.CIDR, types.FORMAT, types.IP, types.QUANTITY, types.SEMVER, types.URL,
    )},
}  # fmt: skip
"""The names that stand for types."""
