"""The resourceVersion of an object's JSON: taken out of what is stored, put into what is shown.

An engine that several writers share tells the revision of a write only when it is made, so the
stored bytes cannot hold it. Pure. Only the members around the version are looked at, all others
stay as the bytes that they are.
"""

import msgspec

_Members = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(_Members)
_encode = msgspec.json.Encoder().encode

_AFTER = "uid"
"""Where the version has its place among the metadata of an object, as Kubernetes writes it."""


def with_version(json: bytes, revision: int) -> bytes:
    """The object with this resourceVersion in its metadata, in its usual place.

    ValueError for what is no JSON object with metadata.
    """
    try:
        tree = _members.decode(json)
        meta = _members.decode(tree["metadata"])
    except (KeyError, msgspec.DecodeError) as error:
        raise ValueError(f"no object with metadata: {error}") from None
    version = msgspec.Raw(b'"%d"' % revision)
    if "resourceVersion" in meta or _AFTER not in meta:
        meta["resourceVersion"] = version
    else:
        new: _Members = {}
        for key, value in meta.items():
            new[key] = value
            if key == _AFTER:
                new["resourceVersion"] = version
        meta = new
    tree["metadata"] = msgspec.Raw(_encode(meta))
    return _encode(tree)


def without_version(json: bytes) -> bytes:
    """The object without a resourceVersion; one without metadata as it is."""
    tree = _members.decode(json)
    if "metadata" not in tree:
        return json
    meta = _members.decode(tree["metadata"])
    if meta.pop("resourceVersion", None) is None:
        return json
    tree["metadata"] = msgspec.Raw(_encode(meta))
    return _encode(tree)
