"""Which kind a request's body says that it is, and the words for one that it cannot be.

Source: k8s.io/apimachinery, runtime/serializer/json and codec_factory (what is decoded into what),
k8s.io/apiserver, endpoints/handlers/rest.go (transformDecodeError). Pure.
"""

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.schemas import definitions as schemas
from kubeherd.cluster.api.schemas.gotypes import internal_type, json_type_of

_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
"""How Kubernetes names the registry of its built-in kinds."""

_SHOWN_BYTES = 30


def unrecognized(kind: str, body: bytes, why: str) -> errors.BadRequest:
    """400 for a body whose kind cannot be read, with its beginning as Go shows it."""
    shown = "<empty>" if not body else _text(body) if body.startswith(b"{") else _hex(body)
    return errors.BadRequest(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
    )


def _text(body: bytes) -> str:
    text = body[:_SHOWN_BYTES].decode(errors="replace")
    return f"{text} ..." if len(body) > _SHOWN_BYTES else text


def _hex(body: bytes) -> str:
    text = body[:_SHOWN_BYTES].hex()
    return f"{text} ..." if len(body) > _SHOWN_BYTES else text


def check(
    tree: JsonObject,
    body: bytes,
    group: str,
    version: str,
    kind: str,
    *,
    also: str = "",
    any_kind: bool = False,
) -> None:
    """Fill in the kind and apiVersion of a decoded body; BadRequest if it says another one, unless
    `any_kind` will do. `also` is an apiVersion of the kind with the same fields."""
    for name, given in (("apiVersion", tree.get("apiVersion")), ("kind", tree.get("kind"))):
        if given.__class__ is not str and given is not None:
            raise unrecognized(
                kind,
                body,
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{json_type_of(given)} into Go struct field .{name} of type string",
            )
    api_version = f"{group}/{version}" if group else version
    given_version, given_kind = tree.get("apiVersion") or api_version, tree.get("kind") or kind
    if given_version == also:
        given_version = api_version
    if (given_version, given_kind) != (api_version, kind) and not any_kind:
        raise errors.BadRequest(_mismatch(given_version, given_kind, group, version, kind))
    tree["apiVersion"], tree["kind"] = api_version, kind
    meta = tree.get("metadata")
    if isinstance(meta, dict) and meta.get("managedFields") == []:
        meta["managedFields"] = [{}]  # means the same, and decoding keeps no empty list


def _mismatch(given_version: str, given_kind: str, group: str, version: str, kind: str) -> str:
    given_group, _, short_version = given_version.rpartition("/")
    prefix = f"{given_kind} in version {quoted(short_version)} cannot be handled as a {kind}: "
    try:
        schemas.key_of(given_group, short_version, given_kind)
    except KeyError:
        return (
            f"{prefix}no kind {quoted(given_kind)} is registered for version "
            f'{quoted(given_version)} in scheme "{_SCHEME}"'
        )
    into = internal_type(group, kind)
    if into == internal_type(given_group, given_kind):
        api_version = f"{group}/{version}" if group else version
        return (
            f"the API version in the data ({given_version}) does not match the expected API "
            f"version ({api_version})"
        )
    return f"{prefix}converting ({short_version}.{given_kind}) to ({into}): unknown conversion"
