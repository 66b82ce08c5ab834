"""Strategic merge patch (spec api-machinery, section 10).

A merge patch that knows the schema: lists with a merge key merge element by element, primitive
lists tagged ``merge`` become unions, and directives (``$patch``, ``$retainKeys``,
``$deleteFromPrimitiveList/x``, ``$setElementOrder/x``) replace, delete and order. Elements of the
patch come before elements that only the server has, unless the server's order says otherwise:
that is why a container added by a patch shows up first, as it does in Kubernetes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from kubeherd.cluster.api.errors import BadRequest, PlainError
from kubeherd.cluster.api.goformat import plain
from kubeherd.cluster.api.jsontypes import JsonObject, JsonValue
from kubeherd.cluster.api.patches import listorder
from kubeherd.cluster.api.patches.problems import not_applicable, undecodable
from kubeherd.cluster.api.schemas.definitions import Definition, Field, FieldType

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
SET_ORDER = "$setElementOrder/"
_AFTER_DOLLAR = "%"
"""No directive comes after it, and nearly all names of members do: that is seen at a glance."""
_NAMING = (None, "delete")
"""The directives of list elements that have to say which element they are about."""


def strategic_merge(
    tree: JsonObject, patch: JsonValue, definition: Definition | None, *, is_plain: bool = False
) -> JsonObject:
    """`tree` with `patch` merged in by the schema `definition`. `is_plain`: the patch has neither
    nulls nor directives at any depth, and the result may share its parts.

    BadRequest for malformed directives, PlainError for missing merge keys, unknown directives and
    lists of different types, Invalid (422) for directives that contradict the patch.
    """
    if not isinstance(patch, dict):
        raise undecodable("a strategic merge patch must be an object")
    root = None if definition is None else _root_field(definition.key)
    return (_MERGE_PLAIN if is_plain else _MERGE).merge_map(tree, patch, root)


@cache
def _root_field(key: str) -> Field:
    return Field(FieldType.OBJECT, definition_key=key)


def _child(field: Field | None, name: str) -> Field | None:
    if field is None:
        return None
    if field.type is FieldType.MAP:
        return field.additional
    return field.properties.get(name)


class _Directives(NamedTuple):
    """A patch map taken apart: its plain members and the directives beside them."""

    members: JsonObject
    deletions: dict[str, list[JsonValue]]
    orders: dict[str, list[JsonValue]]
    retain_keys: list[str] | None


def _take_apart(patch: JsonObject) -> _Directives:
    members: JsonObject = {}
    deletions: dict[str, list[JsonValue]] = {}
    orders: dict[str, list[JsonValue]] = {}
    retain: list[str] | None = None
    for key, value in patch.items():
        if not key.startswith("$"):
            members[key] = value
        elif key == RETAIN_KEYS:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise BadRequest("invalid patch format of retainKeys")
            retain = value
        elif key.startswith(DELETE_PRIMITIVES):
            if not isinstance(value, list):
                raise BadRequest("invalid patch format of primitive list")
            deletions[key.removeprefix(DELETE_PRIMITIVES)] = value
        elif key.startswith(SET_ORDER):
            if not isinstance(value, list):
                raise BadRequest("invalid patch format of setElementOrder list")
            orders[key.removeprefix(SET_ORDER)] = value
        elif key != PATCH:
            members[key] = value
    return _Directives(members, deletions, orders, retain)


class _Merge:
    """Merges patches; `is_plain`: they have neither nulls nor directives at any depth."""

    def __init__(self, *, is_plain: bool) -> None:
        self._is_plain = is_plain
        self._new: Callable[[JsonValue], Any] = _as_it_is if is_plain else _plain
        """What becomes of a value of the patch where nothing was before."""

    def merge_map(self, original: JsonObject, patch: JsonObject, field: Field | None) -> JsonObject:
        """What a patch makes of an object."""
        if (
            not self._is_plain
            and min(patch, default=_AFTER_DOLLAR) < _AFTER_DOLLAR
            and any(name.startswith("$") for name in patch)
        ):  # before anything else is looked at, wherever it stands
            return self._merge_directed(original, patch, field)
        out = dict(original)
        for name, value in patch.items():
            kind = value.__class__
            if kind is dict or kind is list or value is None:
                self._merge_member(out, name, value, _child(field, name))
            else:
                out[name] = value
        return out

    def _merge_directed(
        self, original: JsonObject, patch: JsonObject, field: Field | None
    ) -> JsonObject:
        """`merge_map` for a patch that may have directives."""
        action = patch.get(PATCH)
        if action is not None and action != "merge":
            if action == "replace":
                return {k: _plain(v) for k, v in patch.items() if k != PATCH and v is not None}
            if action == "delete":
                return {}
            raise _unknown_type(patch)
        members, deletions, orders, retain = _take_apart(patch)
        out = dict(original)
        if retain is not None:
            kept = set(retain)
            if any(key not in kept for key, value in members.items() if value is not None):
                raise not_applicable()
            out = {key: value for key, value in out.items() if key in kept}
        for name, values in deletions.items():
            current = out.get(name)
            if isinstance(current, list):
                unwanted = {listorder.identity(value, "") for value in values}
                out[name] = [
                    item for item in current if listorder.identity(item, "") not in unwanted
                ]
        for name, order in orders.items():
            self._merge_ordered(out, members, name, order, _child(field, name))
        for name, value in members.items():
            self._merge_member(out, name, value, _child(field, name))
        return out

    def _merge_member(
        self, out: JsonObject, name: str, value: JsonValue, field: Field | None
    ) -> None:
        if value is None:
            out.pop(name, None)
            return
        current = out.get(name)
        if isinstance(value, dict):
            if not isinstance(current, dict):
                if value.get(PATCH) != "delete":
                    out[name] = self._new(value)
            elif field is not None and "replace" in field.patch_strategies:
                out[name] = self._new(value)
            else:
                out[name] = self.merge_map(current, value, field)
        elif isinstance(value, list):
            had = current if isinstance(current, list) else None
            out[name] = self._merge_list(had, value, field)
        else:
            out[name] = value

    def _merge_list(
        self,
        original: list[JsonValue] | None,
        patch: list[JsonValue],
        field: Field | None,
    ) -> list[JsonValue]:
        if original is None and field is not None and _merges(field) and field.merge_key:
            _check_elements(patch, field.merge_key)
        if original is None or field is None or not _merges(field):
            added: list[JsonValue] = self._new(patch)
            return added
        if not original and not patch:
            return original
        if field.merge_key:
            named, had = _named(patch, field.merge_key), _named(original, field.merge_key)
            if named is not None and had is not None:
                return self._merge_named(had, named, field)
        return self._merge_any(original, patch, field)

    def _merge_named(
        self, had: dict[str, JsonObject], named: dict[str, JsonObject], field: Field
    ) -> list[JsonValue]:
        """`_merge_any` of elements without directives of their own, as nearly all are."""
        merged: list[tuple[str, JsonObject]] = []
        for name, element in named.items():
            if name in had:
                merged.append((name, self.merge_map(had[name], element, field.items)))
            else:
                merged.append((name, self._new(element)))
        if had.keys() <= named.keys():
            return [item for _, item in merged]
        others = [(name, item) for name, item in had.items() if name not in named]
        positions = {name: index for index, name in enumerate(had)}
        return listorder.interleaved(merged, others, positions)

    def _merge_any(
        self, original: list[JsonValue], patch: list[JsonValue], field: Field
    ) -> list[JsonValue]:
        _check_types(original, patch)
        if not field.merge_key:
            merged = listorder.unique([*original, *patch])
            return listorder.arrange(merged, patch, original, "")
        _check_elements(patch, field.merge_key)
        kept, elements = _special_elements(original, patch, field.merge_key)
        merged = self._merge_elements(kept, elements, field)
        return listorder.arrange(merged, elements, kept, field.merge_key)

    def _merge_elements(
        self, original: list[JsonValue], patch: list[JsonValue], field: Field
    ) -> list[JsonValue]:
        merged = list(original)
        where: dict[object, int] = {}
        for index, item in enumerate(merged):
            where.setdefault(listorder.identity(item, field.merge_key), index)
        for element in patch:
            index = where.setdefault(listorder.identity(element, field.merge_key), len(merged))
            if index < len(merged):
                merged[index] = self.merge_map(merged[index], element, field.items)
            else:
                merged.append(self._new(element))
        return merged

    def _merge_ordered(
        self,
        out: JsonObject,
        members: JsonObject,
        name: str,
        order: list[JsonValue],
        field: Field | None,
    ) -> None:
        """Merges list `name` and puts it into `order`; takes it out of the patch's members."""
        merge_key = field.merge_key if field is not None else ""
        if merge_key and not all(isinstance(o, dict) and merge_key in o for o in order):
            raise BadRequest("invalid patch format of setElementOrder list")
        original, patch = out.get(name), members.get(name)
        if (original is not None and not isinstance(original, list)) or (
            patch is not None and not isinstance(patch, list)
        ):
            raise BadRequest("invalid patch format of setElementOrder list")
        if name in members and patch is None:
            return  # null: the member is deleted, there is nothing to order
        members.pop(name, None)
        if patch is not None:
            listorder.check_contains(order, patch, merge_key)
            merged = self._merge_list(original, patch, field)
        elif original is not None:
            merged = original
        else:
            return
        out[name] = listorder.arrange(merged, order, original or [], merge_key)


def _merges(field: Field) -> bool:
    return "merge" in field.patch_strategies


def _named(elements: list[JsonValue], merge_key: str) -> dict[str, JsonObject] | None:
    """The elements by their merge key; None unless all are plain: objects without directives, whose
    keys are different texts."""
    named = {}
    for element in elements:
        if element.__class__ is not dict or PATCH in element:
            return None
        name = element.get(merge_key)
        if name.__class__ is not str:
            return None
        named[name] = element
    return named if len(named) == len(elements) else None


def _unknown_type(patch: JsonObject) -> PlainError:
    return PlainError(f"unknown patch type: {plain(patch[PATCH])} in map: {plain(patch)}")


def _check_types(original: list[JsonValue], patch: list[JsonValue]) -> None:
    """Elements of merged lists are all of one type, and that is no list."""
    both = [*original, *patch]
    first = both[0].__class__
    if first is list:
        raise not_applicable()
    if any(item.__class__ is not first for item in both):
        shown = plain([original, patch])
        raise PlainError(f"list element types are not identical: {shown}")


def _check_elements(patch: list[JsonValue], merge_key: str) -> None:
    for element in patch:
        if not isinstance(element, dict):
            raise PlainError(f"cannot merge lists without merge key for {merge_key}")
        if merge_key not in element and element.get(PATCH) in _NAMING:
            raise PlainError(
                f"map: {plain(element)} does not contain declared merge key: {merge_key}"
            )


def _special_elements(
    original: list[JsonValue], patch: list[JsonValue], merge_key: str
) -> tuple[list[JsonValue], list[JsonValue]]:
    """Carries out the elements with ``$patch``: what is left of the original, and the rest."""
    rest: list[JsonValue] = []
    replace = False
    gone: set[object] = set()
    for element in patch:
        action = element.get(PATCH)
        if action is None:
            rest.append(element)
        elif action == "delete":
            gone.add(listorder.identity(element, merge_key))
        elif action == "replace":
            replace = True
            if len(element) > 1:
                rest.append(element)
        elif action == "merge":
            raise PlainError("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_type(element)
    if replace:
        return _plain_list(rest), []
    if gone:
        original = [item for item in original if listorder.identity(item, merge_key) not in gone]
    return original, rest


def _plain_list(patch: list[JsonValue]) -> list[JsonValue]:
    return [
        _plain(item)
        for item in patch
        if not (
            isinstance(item, dict) and PATCH in item and (item[PATCH] == "delete" or len(item) == 1)
        )
    ]


def _plain(value: JsonValue) -> Any:
    """A patch value as it is stored where nothing was before: no directives, no null members."""
    if isinstance(value, list):
        return _plain_list(value)
    if not isinstance(value, dict):
        return value
    out: JsonObject = {}
    for key, member in value.items():
        if member is None or (key.startswith("$") and _is_directive(key)):
            continue
        kind = member.__class__
        if kind is dict:
            if member.get(PATCH) == "delete":
                continue
            member = _plain(member)  # noqa: PLW2901 - most members are scalars, and stay
        elif kind is list:
            member = _plain_list(member)  # noqa: PLW2901
        out[key] = member
    return out


def _is_directive(key: str) -> bool:
    return key in (PATCH, RETAIN_KEYS) or key.startswith((DELETE_PRIMITIVES, SET_ORDER))


def _as_it_is(value: JsonValue) -> Any:
    """`_plain` of a value that has neither nulls nor directives."""
    return value


_MERGE_PLAIN: Final = _Merge(is_plain=True)
_MERGE: Final = _Merge(is_plain=False)
