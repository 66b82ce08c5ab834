"""What a write knows besides the object: who asks, with which options, at what time.

One `RequestContext` per request; its `warnings` collect what the answer says in Warning headers.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

import msgspec

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.goformat import quoted
from kubeherd.cluster.api.memo import remembered
from kubeherd.cluster.api.private import fence
from kubeherd.cluster.api.serializer.decodingrules import Dropped
from kubeherd.cluster.api.timestamps import format_time
from kubeherd.cluster.apiserver.access.authn import SERVER
from kubeherd.cluster.apiserver.edge.messages import User

_MAX_MANAGER_LENGTH = 128


class FieldValidation(Enum):
    """What happens to unknown and duplicate fields (spec api-machinery, section 12)."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


class RequestContext(msgspec.Struct):
    """The options of one request. `field_manager` is never empty for a write; `applied` says that
    the object carries the managedFields of a server-side apply already."""

    user: User
    now: datetime
    field_manager: str = ""
    dry_run: bool = False
    field_validation: FieldValidation = FieldValidation.WARN
    subresource: str = ""
    applied: bool = False
    creates_on_update: bool = False
    """Whether a PUT or apply creates the object: unlike a POST it may name a resourceVersion."""
    size_bytes: int = 0
    """Bytes that the client sent; they decide whether the write is heavy work."""
    dropped: Dropped = msgspec.field(default_factory=list)
    """What was dropped by decoding the body; texts that show a refused object show it, too."""
    data_text: bytes = b""
    """See `write.revisiondata`."""
    warnings: list[str] = msgspec.field(default_factory=list)
    asked: bool = False
    """Whether policies and webhooks are left out: they were asked before, or it is a write of the
    server's own, which nobody may stop."""
    is_valid: bool = False
    """Whether the object need not be validated: it is one of the server's own, and tests do it."""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    """What admission adds to the audit log."""
    fence: str = ""
    """The leader's term that the write belongs to (`write.fencing`); "" for none."""

    @property
    def timestamp(self) -> str:
        """`now` as metav1.Time."""
        return format_time(self.now)

    def strict_problems(self, problems: list[str], prefix: str) -> None:
        """Act on unknown and duplicate fields; BadRequest beginning with `prefix` when Strict."""
        if not problems or self.field_validation is FieldValidation.IGNORE:
            return
        if self.field_validation is FieldValidation.STRICT:
            raise errors.BadRequest(f"{prefix}strict decoding error: {', '.join(problems)}")
        self.warnings.extend(problems)


def housekeeping(now: datetime) -> RequestContext:
    """The context of a write of the server's own, about which nobody is asked."""
    return RequestContext(user=SERVER, now=now, field_manager="kube-apiserver", asked=True)


def write_context(
    user: User,
    now: datetime,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    options_kind: str,
    subresource: str = "",
) -> RequestContext:
    """The context of a create, update or patch; 422 on `options_kind` for bad query parameters."""
    manager, dry_run, validation = _options(query, options_kind) if query else _NO_OPTIONS
    return RequestContext(
        user=user,
        now=now,
        field_manager=manager or default_manager(headers),
        dry_run=dry_run,
        field_validation=validation,
        subresource=subresource,
        fence=fence_of(headers),
    )


_NO_OPTIONS = ("", False, FieldValidation.WARN)


def _options(query: Mapping[str, str], options_kind: str) -> tuple[str, bool, FieldValidation]:
    """The field manager, whether it is a dry run, and what becomes of unknown fields."""
    causes: list[Cause] = []
    manager = query.get("fieldManager", "")
    if len(manager.encode()) > _MAX_MANAGER_LENGTH:
        causes.append(
            Cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager")
        )
    if not manager.isprintable():
        causes.append(
            Cause(
                "FieldValueInvalid",
                f"Invalid value: {quoted(manager)}: should only contain printable characters",
                "fieldManager",
            )
        )
    dry_run = dry_run_option(query, causes)
    validation = FieldValidation.WARN
    asked = query.get("fieldValidation", "")
    if asked:
        try:
            validation = FieldValidation(asked)
        except ValueError:
            causes.append(
                Cause(
                    "FieldValueNotSupported",
                    f"Unsupported value: {quoted(asked)}: supported values: "
                    '"", "Ignore", "Strict", "Warn"',
                    "fieldValidation",
                )
            )
    if causes:
        raise errors.invalid("meta.k8s.io", options_kind, "", causes)
    return manager, dry_run, validation


def fence_of(headers: Mapping[str, str]) -> str:
    """The header with a leader's term, "" if there is none."""
    return headers.get(fence.KEY, "")


def dry_run_option(query: Mapping[str, str], causes: list[Cause]) -> bool:
    """Whether ``dryRun=All`` was asked for; any other value adds a cause."""
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        causes.append(unsupported_dry_run([value]))
    return value == "All"


def unsupported_dry_run(values: list[str]) -> Cause:
    shown = "[" + ",".join(quoted(value) for value in values) + "]"
    return Cause(
        "FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"', "dryRun"
    )


def default_manager(headers: Mapping[str, str]) -> str:
    """The User-Agent up to its first slash, as in Kubernetes; at most 128 characters."""
    return _manager(headers.get("user-agent", ""))


@remembered(entries=64, longest=256)
def _manager(user_agent: str) -> str:
    agent = user_agent.split("/", 1)[0]
    if agent.isprintable():
        return agent[:_MAX_MANAGER_LENGTH] or "unknown"
    return "".join(char for char in agent if char.isprintable())[:_MAX_MANAGER_LENGTH] or "unknown"
