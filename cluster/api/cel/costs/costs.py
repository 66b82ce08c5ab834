"""What an expression can cost at most, found from it and from the sizes that its schema allows.

Source: github.com/google/cel-go/checker/cost.go. A node is known by its path from a variable, which
leads to the schema's limits; what has no path and no size of its own can be of any size.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from kubeherd.cluster.api.cel.checker.types import Kind, Type, is_optional
from kubeherd.cluster.api.cel.costs import callcosts
from kubeherd.cluster.api.cel.costs.charges import NEW_LIST, NEW_MAP, NEW_OBJECT
from kubeherd.cluster.api.cel.costs.estimates import (
    LIMIT,
    ONE,
    UNKNOWN,
    ZERO,
    Entries,
    Estimate,
    Range,
    Sized,
    fixed,
)
from kubeherd.cluster.api.cel.syntax.nodes import (
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
)

Path = tuple[str, ...]
SizeOf = Callable[[Path], int | None]
"""The most elements of what is at a path, whose first step is a variable; None if unknown."""

_SCALARS = frozenset({
    Kind.BOOL, Kind.DOUBLE, Kind.DURATION, Kind.INT, Kind.TIMESTAMP, Kind.UINT,
})  # fmt: skip
_SELECTED = frozenset({Kind.MAP, Kind.STRUCT, Kind.PARAMETER, Kind.DYN})
_INDEXES = {"index_list": "@items", "index_map": "@values"}
_NOTHING_YET = Range(LIMIT, 0)


class _Local(msgspec.Struct, frozen=True):
    """A variable of a loop: where its values come from and how large they are."""

    path: Path
    size: Range | None = None
    entries: Entries | None = None


def estimate(tree: Node, size_of: SizeOf) -> Range:
    """The least and the most that a checked expression can cost."""
    return _Estimator(size_of).cost(tree)


class _Estimator(msgspec.Struct):
    size_of: SizeOf
    paths: dict[int, Path] = msgspec.field(default_factory=dict)
    sizes: dict[int, Range] = msgspec.field(default_factory=dict)
    entries: dict[int, Entries] = msgspec.field(default_factory=dict)
    locals: dict[str, list[_Local]] = msgspec.field(default_factory=dict)

    def cost(self, node: Node) -> Range:
        return _COSTS[type(node)](self, node)

    # --- paths and sizes ---

    def _local(self, node: Node) -> _Local | None:
        found = self.locals.get(node.name) if isinstance(node, Ident) else None
        return found[-1] if found else None

    def _path(self, node: Node) -> Path:
        local = self._local(node)
        return self.paths.get(id(node), ()) if local is None else local.path

    def _entries(self, node: Node) -> Entries | None:
        if id(node) in self.entries:
            return self.entries[id(node)]
        local = self._local(node)
        return None if local is None else local.entries

    def _size(self, node: Node) -> Range | None:
        if id(node) in self.sizes:
            return self.sizes[id(node)]
        own = _own_size(node)
        if own is not None:
            return own
        declared = self.size_of(self._path(node)) if self._path(node) else None
        if declared is not None:
            self.sizes[id(node)] = Range(0, declared)
            return self.sizes[id(node)]
        if _is_scalar(node.type):
            return ONE
        local = self._local(node)
        return None if local is None else local.size

    def _size_or_any(self, node: Node) -> Range:
        found = self._size(node)
        return UNKNOWN if found is None else found

    def _sized(self, node: Node) -> Sized:
        found, type_ = self._size(node), node.type
        is_list = type_.kind in (Kind.LIST, Kind.OPAQUE, Kind.MAP) and bool(type_.parameters)
        element = type_.parameters[0] if is_list else None
        path = (*self._path(node), "@items")
        declared = self.size_of(path) if is_list and len(path) > 1 else None
        return Sized(
            UNKNOWN if found is None else found,
            is_list=is_list,
            texts=element is not None and element.kind in (Kind.STRING, Kind.BYTES),
            elements=UNKNOWN if declared is None else Range(0, declared),
            type_name=type_.name,
            constant=_number(node),
            computed=found is not None,
        )

    # --- nodes ---

    def literal(self, node: Literal) -> Range:
        return ZERO

    def ident(self, node: Ident) -> Range:
        local = self._local(node)
        self.paths[id(node)] = (node.name,) if local is None else local.path
        return ONE

    def select(self, node: Select) -> Range:
        if node.type.kind is Kind.TYPE and not node.test:
            return ONE
        total = self.cost(node.operand)
        if node.test:
            return total
        if node.optional:
            return total + ONE
        if node.operand.type.kind in _SELECTED and node.operand.type.kind is not Kind.DYN:
            total = total + ONE
        self.paths[id(node)] = (*self._path(node.operand), node.field)
        return total

    def call(self, node: Call) -> Range:
        if node.function == "dyn":
            argument = node.arguments[0]
            total = ONE + self.cost(argument)
            self._copy(node, argument)
            return total
        arguments = [self.cost(one) for one in node.arguments]
        target = ZERO if node.target is None else self.cost(node.target)
        sized = [self._sized(one) for one in node.operands()]
        most = _NOTHING_YET
        size: Range | None = None
        for overload in node.overloads:
            found = self._overload(node, overload.id, sized, arguments)
            most = most.union(found.cost)
            if found.size is not None:
                size = found.size if size is None else size.union(found.size)
            if overload.id in _INDEXES:
                inside = self._entries(node.arguments[0])
                size = None if inside is None else inside.value
                step = _INDEXES[overload.id]
                self.paths[id(node)] = (*self._path(node.arguments[0]), step)
            if size is None:
                size = self._size(node)
        if size is not None:
            self.sizes[id(node)] = size
        return target + most if node.overloads else ZERO

    def _overload(
        self, node: Call, overload: str, sized: list[Sized], arguments: list[Range]
    ) -> Estimate:
        total = sum(arguments, ZERO)
        if overload in ("logical_and", "logical_or"):
            return Estimate(Range(arguments[0].least, total.most))
        if overload == "conditional":
            _, yes, no = node.arguments
            size = self._size_or_any(yes).union(self._size_or_any(no))
            self._join_entries(node, yes, no)
            return Estimate(arguments[0] + arguments[1].union(arguments[2]), size)
        if overload in ("add_list", "add_string", "add_bytes"):
            self._join_entries(node, *node.arguments)
        member = node.target is not None
        found = callcosts.estimate(node.function, overload, sized, member=member)
        return Estimate(found.cost + total, found.size)

    def _join_entries(self, node: Node, left: Node, right: Node) -> None:
        one = self._entries(left)
        joined = None if one is None else one.union(self._entries(right))
        if joined is not None:
            self.entries[id(node)] = joined

    def _copy(self, node: Node, source: Node) -> None:
        size, entries = self._size(source), self._entries(source)
        if size is not None:
            self.sizes[id(node)] = size
        if entries is not None:
            self.entries[id(node)] = entries

    def list_node(self, node: ListNode) -> Range:
        total, values = fixed(NEW_LIST), _NOTHING_YET if node.elements else ZERO
        for element in node.elements:
            total = total + self.cost(element)
            values = values.union(self._size_or_any(element))
        self.entries[id(node)] = Entries(True, ONE, values)
        return total

    def map_node(self, node: MapNode) -> Range:
        total = fixed(NEW_MAP)
        keys = values = _NOTHING_YET if node.entries else ZERO
        for entry in node.entries:
            total = total + self.cost(entry.key) + self.cost(entry.value)
            keys = keys.union(self._size_or_any(entry.key))
            values = values.union(self._size_or_any(entry.value))
        self.entries[id(node)] = Entries(False, keys, values)
        return total

    def struct(self, node: StructNode) -> Range:
        return sum((self.cost(entry.value) for entry in node.fields), fixed(NEW_OBJECT))

    # --- loops ---

    def comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.over) + self.cost(node.init)
        kept = _Local(self._path(node.init), self._size(node.init), self._entries(node.init))
        self._push(node.accumulator, kept)
        if node.is_bind:
            total = total + self.cost(node.result)
            self._pop(node.accumulator)
            self._copy(node, node.result)
            return total
        names = self._push_variables(node)
        condition, step = self.cost(node.condition), self.cost(node.step)
        for name in names:
            self._pop(name)
        total = total + self.cost(node.result)
        self._pop(node.accumulator)
        count = self._size_or_any(node.over)
        self._result_size(node, count)
        return total + count * (step + condition)

    def _result_size(self, node: Comprehension, count: Range) -> None:
        if isinstance(node.init, Literal):
            size = self._size(node.init)
            if size is not None:
                self.sizes[id(node)] = size
        elif isinstance(node.init, ListNode | MapNode):
            self.sizes[id(node)] = count
            entries = self._entries(node.step)
            if entries is not None:
                self.entries[id(node)] = entries

    def _push_variables(self, node: Comprehension) -> list[str]:
        entries, path = self._entries(node.over), self._path(node.over)
        is_list = node.over.type.kind is Kind.LIST if entries is None else entries.is_list
        key = None if entries is None else entries.key
        value = None if entries is None else entries.value
        if node.second:
            self._push(node.variable, _Local((*path, "@indices" if is_list else "@keys"), key))
            self._push(node.second, _Local((*path, "@items" if is_list else "@values"), value))
            return [node.variable, node.second]
        single = _Local((*path, "@items"), value) if is_list else _Local((*path, "@keys"), key)
        self._push(node.variable, single)
        return [node.variable]

    def _push(self, name: str, local: _Local) -> None:
        self.locals.setdefault(name, []).append(local)

    def _pop(self, name: str) -> None:
        self.locals[name].pop()


def _own_size(node: Node) -> Range | None:
    """The size that the expression itself shows."""
    if isinstance(node, Literal):
        return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
    if isinstance(node, ListNode):
        return fixed(len(node.elements))
    return fixed(len(node.entries)) if isinstance(node, MapNode) else None


def _is_scalar(type_: Type) -> bool:
    if is_optional(type_) and type_.parameters:
        return _is_scalar(type_.parameters[0])
    return type_.kind in _SCALARS


def _number(node: Node) -> int | None:
    if isinstance(node, Literal) and type(node.value) is int:
        return node.value
    return None


_COSTS: dict[type[Node], Callable[[_Estimator, Any], Range]] = {
    Literal: _Estimator.literal,
    Ident: _Estimator.ident,
    Select: _Estimator.select,
    Call: _Estimator.call,
    ListNode: _Estimator.list_node,
    MapNode: _Estimator.map_node,
    StructNode: _Estimator.struct,
    Comprehension: _Estimator.comprehension,
}
