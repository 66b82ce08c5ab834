"""etcd's messages, as many and as much of them as we ask for and read.

Source: etcd's api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto, 3.4 to 3.6. protobuf makes the
classes when this is imported: those that are generated for Python come with grpcio, which costs
each API server 10 MB.
"""

from types import SimpleNamespace
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

VERSION: Final = 0
MOD: Final = 2
"""What of a key a Compare looks at."""

LESS: Final = 2
"""How a Compare compares; 0: it wants the same."""

_PACKAGE: Final = "etcdserverpb"

_MESSAGES: Final = {
    "KeyValue": "1 key bytes, 2 create_revision int64, 3 mod_revision int64, 4 version int64, "
    "5 value bytes, 6 lease int64",
    "Event": "1 type int32, 2 kv KeyValue, 3 prev_kv KeyValue",
    "ResponseHeader": "1 cluster_id uint64, 3 revision int64",
    "RangeRequest": "1 key bytes, 2 range_end bytes, 3 limit int64, 4 revision int64, "
    "8 keys_only bool, 9 count_only bool",
    "RangeResponse": "1 header ResponseHeader, 2 kvs *KeyValue, 3 more bool, 4 count int64",
    "PutRequest": "1 key bytes, 2 value bytes, 3 lease int64",
    "DeleteRangeRequest": "1 key bytes, 2 range_end bytes",
    "RequestOp": "1 request_range |RangeRequest, 2 request_put |PutRequest, "
    "3 request_delete_range |DeleteRangeRequest",
    "ResponseOp": "1 response_range |RangeResponse",
    "Compare": "1 result int32, 2 target int32, 3 key bytes, 4 version |int64, "
    "6 mod_revision |int64, 64 range_end bytes",
    "TxnRequest": "1 compare *Compare, 2 success *RequestOp, 3 failure *RequestOp",
    "TxnResponse": "1 header ResponseHeader, 2 succeeded bool, 3 responses *ResponseOp",
    "CompactionRequest": "1 revision int64",
    "CompactionResponse": "1 header ResponseHeader",
    "WatchRequest": "1 create_request |WatchCreateRequest, "
    "3 progress_request |WatchProgressRequest",
    "WatchCreateRequest": "1 key bytes, 2 range_end bytes, 3 start_revision int64, "
    "4 progress_notify bool, 6 prev_kv bool, 8 fragment bool",
    "WatchProgressRequest": "",
    "WatchResponse": "1 header ResponseHeader, 2 watch_id int64, 4 canceled bool, "
    "5 compact_revision int64, 6 cancel_reason string, 7 fragment bool, 11 events *Event",
    "LeaseGrantRequest": "1 TTL int64, 2 ID int64",
    "LeaseGrantResponse": "1 header ResponseHeader, 2 ID int64, 3 TTL int64",
    "AuthenticateRequest": "1 name string, 2 password string",
    "AuthenticateResponse": "1 header ResponseHeader, 2 token string",
    "StatusRequest": "",
    "StatusResponse": "1 header ResponseHeader, 2 version string, 8 errors *string",
}
"""Number, name and type of each field; ``*``: repeated; ``|``: one of those so marked is set."""

_SCALARS: Final = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}


def _message(name: str, fields: str) -> DescriptorProto:
    message = DescriptorProto(name=name)
    for text in filter(None, fields.split(", ")):
        number, field_name, type_ = text.split()
        field = message.field.add(name=field_name, number=int(number))
        repeated = type_.startswith("*")
        field.label = (
            FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        )
        if type_.startswith("|"):
            field.oneof_index = 0
        type_ = type_.lstrip("*|")
        if type_ in _SCALARS:
            field.type = _SCALARS[type_]
        else:
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{_PACKAGE}.{type_}"
    if "|" in fields:
        message.oneof_decl.add(name="union")
    return message


def _classes() -> dict[str, Any]:
    messages = [_message(name, fields) for name, fields in _MESSAGES.items()]
    file = FileDescriptorProto(
        name="kubeherd/etcd.proto", package=_PACKAGE, syntax="proto3", message_type=messages
    )
    pool = DescriptorPool()  # not the one that all share: somebody's etcd client may be there, too
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


rpc: Any = SimpleNamespace(**_classes())
"""The messages' classes by their names, with the fields that have those of etcd."""
