"""One served version of a CustomResourceDefinition: how objects of the kind are handled.

`Resource.custom` leads here from wherever the kinds of Kubernetes have tables of their own:
decoding, defaults, validation, ownership, selectable fields. Immutable; a changed definition makes
new ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from kubeherd.cluster.api.customresources import (
    defaulting,
    embedded,
    listtypes,
    ownership,
    pruning,
    scaling,
    typedfields,
    validation,
)
from kubeherd.cluster.api.customresources.schema import RULES, Schema, of_field, walk
from kubeherd.cluster.api.errors import Cause
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.api.managedfields.fieldtypes import Struct
from kubeherd.cluster.api.schemas.definitions import Field
from kubeherd.cluster.api.serializer.decoding import cannot_be_handled
from kubeherd.cluster.api.validation import objectmeta
from kubeherd.cluster.api.validation.causes import invalid

if TYPE_CHECKING:
    from kubeherd.cluster.api.cel.schemas.evaluation import Validator

_BLOCKING = frozenset({
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany",
    "FieldValueTypeInvalid",
})  # fmt: skip
"""An object that is wrong in these ways is not shown to rules, which rely on its types."""
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation"
)


@dataclass(frozen=True, eq=False)
class CustomKind:
    """`schema` is the version's openAPIV3Schema; `scale` its scale subresource, None without."""

    group: str
    version: str
    kind: str
    schema: Schema
    storage_version: str
    status: bool = False
    scale: JsonObject | None = None
    columns: tuple[JsonObject, ...] = ()
    selectable: tuple[str, ...] = ()
    """Selectable fields without the leading dot: ``spec.color``."""
    warnings: tuple[str, ...] = ()
    """What every answer warns of: the version is deprecated."""
    terminating: bool = False
    by_webhook: bool = False
    """Other versions than the stored one are made by a conversion webhook."""
    definition: JsonObject = field(default_factory=dict, repr=False)
    """The whole CustomResourceDefinition."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    def decode(self, tree: JsonObject) -> list[str]:
        """Bring an object into its stored form, without defaults; the strict problems.

        BadRequest if its metadata, or that of an object in it, has the wrong type.
        """
        try:
            unknown = embedded.coerce(tree, self.schema)
        except embedded.Malformed as error:
            raise cannot_be_handled(self.kind, self.version, str(error)) from None
        unknown += pruning.prune(tree, self.schema)
        return [f'unknown field "{path}"' for path in sorted(unknown)]

    def default(self, tree: JsonObject) -> None:
        """Write the schema's defaults into an object."""
        defaulting.default(tree, self.schema)

    def create_causes(self, resource: Resource, tree: JsonObject) -> list[Cause]:
        """The causes for which a new object is refused."""
        causes = objectmeta.create(resource, tree.get("metadata") or {})
        causes += validation.validate(tree, self.schema)
        causes += scaling.check(self.scale, tree)
        causes += embedded.check(tree, self.schema)
        causes += listtypes.check(tree, self.schema)
        return causes + self._rules(causes, tree, None)

    def update_causes(self, new: JsonObject, old: JsonObject, subresource: str) -> list[Cause]:
        """The causes for which `new` may not replace `old`, through the object or a subresource."""
        causes = objectmeta.change(new["metadata"], old["metadata"])
        if subresource == "status":
            causes += self._status(new, old)
            causes += scaling.check_status(self.scale, new)
        else:
            causes += validation.validate(new, self.schema, old)
            causes += scaling.check(self.scale, new)
            causes += embedded.check(new, self.schema)
        if not listtypes.check(old, self.schema):
            causes += listtypes.check(new, self.schema)
        return causes + self._rules(causes, new, old)

    def _status(self, new: JsonObject, old: JsonObject) -> list[Cause]:
        schema = of_field(self.schema, "status")
        if schema is None or "status" not in new:
            return []
        before = old.get("status", validation.ABSENT)
        return validation.validate(new["status"], schema, before, within="status")

    @cached_property
    def _has_rules(self) -> bool:
        return any(RULES in schema for schema in walk(self.schema))

    def _rules(self, found: list[Cause], new: JsonObject, old: JsonObject | None) -> list[Cause]:
        if not self._has_rules:
            return []
        if any(cause.reason in _BLOCKING for cause in found):
            return [invalid("<nil>", None, _NOT_CHECKED)]
        from kubeherd.cluster.api.cel.schemas import evaluation  # noqa: PLC0415 - seldom

        return evaluation.check(self._validator, new, old)

    @cached_property
    def _validator(self) -> "Validator":
        from kubeherd.cluster.api.cel.schemas import evaluation  # noqa: PLC0415 - seldom

        return evaluation.validator(self.schema)

    def owners(self, skip: frozenset[str] = frozenset()) -> Struct:
        """The walker of the object's fields for managedFields, without those to `skip`."""
        return ownership.root(self.schema, skip)

    @cached_property
    def owned(self) -> Struct:
        """The walker of all fields."""
        return self.owners()

    @cached_property
    def typed(self) -> Field:
        """The type of the whole object, to which an applied body is held."""
        return typedfields.root(self.schema)

    @cached_property
    def trackers(self) -> dict[str, Struct]:
        """Walkers by subresource, kept by `managedfields.ownership`."""
        return {}

    @cached_property
    def field_labels(self) -> Mapping[str, str]:
        """The fields that a field selector may name."""
        namespaced = (self.definition.get("spec") or {}).get("scope") == "Namespaced"
        names = ["metadata.name", *(["metadata.namespace"] if namespaced else [])]
        return {name: name for name in [*names, *self.selectable]}
