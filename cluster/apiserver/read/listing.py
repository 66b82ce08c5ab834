"""List: which revision, which objects, which page (spec api-machinery, section 2).

Pure but for the store it is handed. Invariant: all pages of a chunked list show one revision.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec
import orjson

from kubeherd.cluster.api import errors, fields, labels
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.fields import FieldSelector
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.labels import Selector
from kubeherd.cluster.api.private import nodeset
from kubeherd.cluster.api.private.nodeset import NodeSet
from kubeherd.cluster.api.schemas.gotypes import json_type_of
from kubeherd.cluster.api.serializer.gojson import syntax_error
from kubeherd.cluster.apiserver.edge import parameters
from kubeherd.cluster.apiserver.served import ServedKind
from kubeherd.cluster.store.state import NODE_INDEXED, NODES, Record
from kubeherd.cluster.store.store import Store
from kubeherd.cluster.store.watch.deliveries import node_about

_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
_TOO_OLD = "The resourceVersion for the provided list is too old."
_LATEST = -1
_OF_NODES = (NODES, NODE_INDEXED)
CONTINUE_S = 300
"""How long the past, and so the pages of a list, can be asked for at least: kube-apiserver's
--etcd-compaction-interval."""
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9_-]")


class ListOptions(msgspec.Struct, frozen=True):
    """The query parameters of a list or watch, checked. Revisions are 0 where none was given."""

    revision: int
    revision_given: bool
    match: str
    limit: int
    timeout_s: int
    """How long a watch lasts; 0 is as long as the server likes."""
    token: "Continue | None"
    label_selector: Selector
    field_selector: FieldSelector
    nodes: NodeSet | None = None
    """Of a list: the Nodes of these names, or the pods bound to them (`api.private.nodeset`)."""

    @property
    def selects(self) -> bool:
        """Whether there may be objects that are left out."""
        return not (self.label_selector.empty and self.field_selector.empty and self.nodes is None)


class Continue(msgspec.Struct, frozen=True):
    """A decoded continue token: the list's revision (-1: the latest), the next key's bound, and
    when the list began, in seconds of the epoch (0: not said)."""

    revision: int
    start: str
    begun_s: int = 0

    def encoded(self) -> str:
        tree: JsonObject = {"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start}
        if self.begun_s:
            tree["begun"] = self.begun_s
        raw = orjson.dumps(tree)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _revision(text: str) -> int:
    try:
        return parameters.revision(text)
    except errors.PlainError as error:
        raise errors.BadRequest(f"invalid resource version: {error.message}") from None


def options(kind: ServedKind, query: Mapping[str, str], *, watching: bool = False) -> ListOptions:
    """Check the parameters that lists and watches share; BadRequest, Invalid or PlainError."""
    limit = parameters.integer(query, "limit") or 0
    revision_text = query.get("resourceVersion", "")
    token_text = "" if watching else query.get("continue", "")
    nodes = query.get("nodes", "") if kind.key in _OF_NODES and not watching else ""
    token = _decode_continue(token_text) if token_text else None
    if token_text and revision_text not in ("", "0"):
        raise errors.BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(
        revision=parameters.revision(revision_text) if watching else _revision(revision_text),
        revision_given=bool(revision_text),
        match=query.get("resourceVersionMatch", ""),
        limit=max(0, limit),
        timeout_s=max(0, parameters.integer(query, "timeoutSeconds") or 0),
        token=token,
        label_selector=labels.parse(query.get("labelSelector", "")),
        field_selector=fields.parse(query.get("fieldSelector", ""), kind.resource),
        nodes=nodeset.parse(nodes) if nodes else None,
    )


def check_list(opts: ListOptions, query: Mapping[str, str]) -> None:
    """The combinations of parameters that a list refuses."""
    causes: list[Cause] = []
    if opts.match:
        if not opts.revision_given:
            causes.append(
                forbidden_match(
                    "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if opts.token is not None:
            causes.append(CONTINUED)
        if opts.match not in ("Exact", "NotOlderThan"):
            causes.append(unsupported_match(opts.match, '"Exact", "NotOlderThan", ""'))
        if opts.match == "Exact" and opts.revision_given and opts.revision == 0:
            causes.append(
                forbidden_match('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
            )
    if "sendInitialEvents" in query:
        causes.append(
            Cause(
                "FieldValueForbidden",
                "Forbidden: sendInitialEvents is forbidden for list",
                "sendInitialEvents",
            )
        )
    if causes:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)


def forbidden_match(text: str) -> Cause:
    """A cause that is about resourceVersionMatch."""
    return Cause("FieldValueForbidden", f"Forbidden: {text}", "resourceVersionMatch")


CONTINUED = forbidden_match("resourceVersionMatch is forbidden when continue is provided")


def unsupported_match(value: str, supported: str) -> Cause:
    return Cause(
        "FieldValueNotSupported",
        f"Unsupported value: {quoted(value)}: supported values: {supported}",
        "resourceVersionMatch",
    )


def too_large(wanted: int, current: int) -> errors.Timeout:
    """504: the client knows a revision that this server has not reached."""
    return errors.Timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        details={
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )


class Found(msgspec.Struct, frozen=True):
    """The records of a collection at one revision, not yet selected; the sequence never changes."""

    revision: int
    records: Sequence[Record]


def find(
    store: Store, kind: ServedKind, namespace: str, opts: ListOptions, now_s: int = 0
) -> Found:
    """What a list is made from. The store has reached `opts.revision`; `now_s` is the time.

    Expired if the store has no longer what a page goes on with, or if its list began more than
    `CONTINUE_S` ago: that is when Kubernetes has compacted it, whatever was written since.
    """
    revision = _exact_revision(opts)
    token = opts.token
    if revision is not None and token is not None and 0 < token.begun_s < now_s - CONTINUE_S:
        raise _expired(opts)
    try:
        if revision is None:
            revision = store.revision
            records = _narrowed(store, kind.key, namespace, opts.field_selector)
        else:
            records = store.list_at(kind.key, namespace, revision)
    except errors.Expired:
        raise _expired(opts) from None
    return Found(revision, records)


def page(
    found: Found, namespace: str, opts: ListOptions, now_s: int = 0
) -> tuple[list[Record], JsonObject]:
    """The records of one page and the list's metadata; `now_s` is the time."""
    revision, records = found.revision, found.records
    if opts.token is not None:
        records = records[_position(records, namespace, opts.token.start) :]
    if opts.nodes is not None:
        records = [record for record in records if node_about(record) in opts.nodes]
    chosen = select(records, opts.label_selector, opts.field_selector)
    meta: JsonObject = {"resourceVersion": str(revision)}
    unlimited = opts.limit == 0 or (opts.revision_given and opts.revision == 0 and not opts.token)
    if not unlimited and len(chosen) > opts.limit:
        remaining = len(chosen) - opts.limit
        chosen = chosen[: opts.limit]
        last = chosen[-1]
        start = _relative_key(last, namespace) + "\0"
        begun_s = opts.token.begun_s if opts.token is not None else 0
        meta["continue"] = Continue(revision, start, begun_s or now_s).encoded()
        if not opts.selects:
            meta["remainingItemCount"] = remaining
    return chosen, meta


def _narrowed(
    store: Store, key: str, namespace: str, field_selector: FieldSelector
) -> Sequence[Record]:
    """The committed records that can match, by index: thousands of kubelets list their own node
    and their own pods."""
    name = field_selector.exact("metadata.name")
    if name:
        record = store.get(key, namespace, name)
        if record is not None or namespace:
            return () if record is None else (record,)
    node_name = field_selector.exact("spec.nodeName")
    if node_name and key == NODE_INDEXED:
        records = store.list_on_node(key, node_name)
        return [r for r in records if r.namespace == namespace] if namespace else records
    return store.list(key, namespace)


def select(
    records: Sequence[Record], label_selector: Selector, field_selector: FieldSelector
) -> list[Record]:
    """The records that both selectors match."""
    if field_selector.empty:
        if label_selector.empty:
            return list(records)
        return [r for r in records if label_selector.matches(r.attrs.labels)]
    return [
        r
        for r in records
        if field_selector.matches(r.attrs.fields) and label_selector.matches(r.attrs.labels)
    ]


def _exact_revision(opts: ListOptions) -> int | None:
    """The one revision to show, or None for the newest."""
    if opts.token is not None:
        return None if opts.token.revision == _LATEST else opts.token.revision
    if opts.revision and (opts.match == "Exact" or (not opts.match and opts.limit)):
        return opts.revision
    return None


def _expired(opts: ListOptions) -> errors.Expired:
    if opts.token is None:
        return errors.Expired(_TOO_OLD)
    return _gone_page(opts.token)


def expired_page(token: str) -> errors.Expired:
    """The refusal of a page that goes on with a list that is too old; BadRequest if the token is
    none."""
    return _gone_page(_decode_continue(token))


def _gone_page(token: Continue) -> errors.Expired:
    error = errors.Expired(_CONTINUE_EXPIRED)
    error.continue_token = Continue(_LATEST, token.start).encoded()
    return error


def _relative_key(record: Record, namespace: str) -> str:
    if namespace or not record.namespace:
        return record.name
    return f"{record.namespace}/{record.name}"


def _position(records: Sequence[Record], namespace: str, start: str) -> int:
    bound = start.removesuffix("\0")
    if namespace:
        return bisect_right(records, bound, key=lambda r: r.name)
    return bisect_right(records, bound, key=lambda r: r.key)


def _decode_continue(text: str) -> Continue:
    tree = _token_tree(text)
    if tree.get("v") != "meta.k8s.io/v1":
        raise _bad_token("server does not recognize this encoded version")
    revision, start = tree.get("rv", 0), tree.get("start", "")
    if not isinstance(revision, int) or revision == 0 or revision < _LATEST:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    begun_s = tree.get("begun", 0)
    return Continue(revision, start, begun_s if isinstance(begun_s, int) else 0)


def _token_tree(text: str) -> JsonObject:
    bare = text.encode().rstrip(b"=")
    foreign = _NO_BASE64.search(bare)
    if foreign is not None or len(bare) % 4 == 1:
        at = len(bare) if foreign is None else foreign.start()
        raise _bad_token(f"illegal base64 data at input byte {at}")
    raw = base64.urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))
    try:
        tree = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _bad_token(syntax_error(raw, error.msg, error.pos)) from None
    if not isinstance(tree, dict):
        raise _bad_token(
            f"json: cannot unmarshal {json_type_of(tree)} into Go value of type "
            "storage.continueToken"
        )
    return tree


def _bad_token(why: str) -> errors.BadRequest:
    return errors.BadRequest(f"invalid continue token: continue key is not valid: {why}")
