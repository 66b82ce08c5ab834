"""YAML bodies as sigs.k8s.io/yaml reads and writes them.

Built from the parser's events with an explicit stack instead of PyYAML's constructor: nesting and
the size that aliases unfold to are bounded before anything is built, tags construct nothing, and
scalars resolve as in Go (``y`` and ``on`` are booleans, dates stay strings, ``0o17`` and ``017``
are octal). Keys become strings, as JSON needs them.
"""

import math
import re
from collections.abc import Iterator

import msgspec
import yaml

from kubeherd.cluster.api.bounds import MAX_VALUES, TooManyValues
from kubeherd.cluster.api.goformat import cut
from kubeherd.cluster.api.jsontypes import JsonValue

MAX_NODES = 2 * MAX_VALUES
"""How many nodes, keys are among them, a body may write."""

MAX_UNFOLDED = 20_000
"""How many more its aliases may unfold to; a small body costs little."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {
    spelling: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_INT = re.compile(r"[-+]?(?:0x[0-9a-fA-F]+|0b[01]+|0o?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NON_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_NUMBER = 400
_MAX_DUPLICATES = 100
_MERGE_KEY = "<<"
_STRING_TAG = "tag:yaml.org,2002:str"


class _Open(msgspec.Struct):
    """A collection whose end has not been seen; for a mapping, `key` waits for its value."""

    value: list[JsonValue] | dict[str, JsonValue]
    anchor: str | None
    key: str | None = None
    merging: bool = False
    """The key is the merge key, a plain ``<<``; quoted it is a key like any other."""
    merges: list[JsonValue] = msgspec.field(default_factory=list)


def load(body: bytes, *, max_depth: int) -> tuple[JsonValue, list[str]]:
    """The first document, its keys sorted as Go sorts them on the way to JSON, and what is to be
    said about duplicate keys (one text for all); ValueError if it is malformed, TooManyValues if
    it is too large."""
    try:
        events = yaml.parse(body.decode(), Loader=yaml.CSafeLoader)
        return _Builder(max_depth).build(events)
    except UnicodeDecodeError as error:
        raise ValueError(f"yaml: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {_in_words_of_go(error)}") from None


def load_all(body: bytes, *, max_depth: int) -> Iterator[JsonValue]:
    """All documents of a file that somebody chose, however large; ValueError if it is malformed.

    What aliases unfold to is bounded all the same.
    """
    try:
        events = yaml.parse(body.decode(), Loader=yaml.CSafeLoader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield _Builder(max_depth, max_nodes=None).build(events)[0]
    except UnicodeDecodeError as error:
        raise ValueError(f"yaml: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"yaml: {_in_words_of_go(error)}") from None


def _in_words_of_go(error: yaml.YAMLError) -> str:
    """``line 3: did not find expected key``: the problem and where go-yaml says that it is, which
    counts lines from 0 except for what the scanner has found, and names no line 0."""
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem:
        return " ".join(str(error).split())
    line = error.problem_mark.line if error.problem_mark is not None else 0
    if line:
        line += isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"line {line}: {error.problem}" if line else str(error.problem)


class _Builder:
    def __init__(self, max_depth: int, max_nodes: int | None = MAX_NODES) -> None:
        self.max_depth = max_depth
        self.max_nodes = max_nodes
        self.stack: list[_Open] = []
        self.anchors: dict[str, JsonValue] = {}
        self.nodes = 0
        self.unfolded = 0
        self.duplicates: list[str] = []
        self.root: JsonValue = None

    def build(self, events: Iterator[yaml.Event]) -> tuple[JsonValue, list[str]]:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            self._event(event)
        if self.duplicates:
            self.duplicates = ["\n".join(["yaml: unmarshal errors:", *self.duplicates])]
        return self.root, self.duplicates

    def _event(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.ScalarEvent):
            self._count(1)
            if self._wants_key():
                self._key(event, line)
                return
            value = _scalar(event, line)
            self._place(value, line)
            if event.anchor:
                self.anchors[event.anchor] = value
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise ValueError(f"yaml: line {line}: unknown anchor '{event.anchor}' referenced")
            self._place(self._unfolded(self.anchors[event.anchor]), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()

    def _wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and (
            self.stack[-1].key is None
        )  # fmt: skip

    def _count(self, nodes: int) -> None:
        self.nodes += nodes
        if self.max_nodes is not None and self.nodes > self.max_nodes:
            raise TooManyValues

    def _key(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self.stack[-1]
        top.merging = event.value == _MERGE_KEY and not event.style
        value = _scalar(event, line)
        if isinstance(value, bool):
            value = "true" if value else "false"
        key = "null" if value is None else str(value)
        if key in top.value and not top.merging and len(self.duplicates) < _MAX_DUPLICATES:
            self.duplicates.append(f'  line {line}: key "{cut(key)}" already set in map')
        top.key = key

    def _place(self, value: JsonValue, line: int) -> None:
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            raise ValueError(f"yaml: line {line}: invalid map key")
        elif top.merging:
            top.merges += value if isinstance(value, list) else [value]
            top.key = None
        else:
            top.value[top.key] = value
            top.key = None

    def _open(self, event: yaml.CollectionStartEvent, line: int) -> None:
        self._count(1)
        if len(self.stack) >= self.max_depth:
            raise ValueError(f"yaml: line {line}: exceeded max depth of {self.max_depth}")
        if self._wants_key():
            raise ValueError(f"yaml: line {line}: invalid map key")
        value: list[JsonValue] | dict[str, JsonValue]
        value = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Open(value, event.anchor))

    def _close(self) -> None:
        done = self.stack.pop()
        if isinstance(done.value, dict):
            for merged in done.merges:
                if not isinstance(merged, dict):
                    raise ValueError(
                        "yaml: map merge requires map or sequence of maps as the value"
                    )
                for key, value in merged.items():
                    done.value.setdefault(key, value)
            done.value = {key: done.value[key] for key in sorted(done.value)}
        if done.anchor:
            self.anchors[done.anchor] = done.value
        self._place(done.value, 0)

    def _unfolded(self, value: JsonValue) -> JsonValue:
        """A copy of an anchored value, counted, so that trees never share parts."""
        self.unfolded += 1
        if self.unfolded > MAX_UNFOLDED:
            raise ValueError("yaml: document contains excessive aliasing")
        if isinstance(value, dict):
            return {key: self._unfolded(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._unfolded(item) for item in value]
        return value


def _scalar(event: yaml.ScalarEvent, line: int) -> JsonValue:
    text = str(event.value)
    if event.style or event.tag == _STRING_TAG:  # quoted, literal, folded, !!str
        return text
    value = _resolved(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"yaml: line {line}: unsupported value: {text}")
    return value


def _resolved(text: str) -> JsonValue:
    """What a plain scalar stands for."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    plain = text.replace("_", "")
    if len(plain) > _MAX_NUMBER:
        return text
    if _INT.fullmatch(plain):
        return _integer(plain)
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return math.nan if _NON_FINITE.fullmatch(text) else text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2])
    if base is not None:
        value = int(digits[2:], base)
    else:
        value = int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    return -value if text[0] == "-" else value


class _Dumper(yaml.CSafeDumper):
    """Quotes every string that `load` would not read back as that string; what stands in two places
    of a tree is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represented(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if "\n" in text:
        style = "|"
    elif text == _MERGE_KEY or not isinstance(_resolved(text), str):
        style = "'"
    return dumper.represent_scalar(_STRING_TAG, text, style=style)


_Dumper.add_representer(str, _represented)


def dump(tree: JsonValue) -> bytes:
    """YAML of a JSON tree: sorted keys, block style, lines not wrapped."""
    text: str = yaml.dump(
        tree, Dumper=_Dumper, sort_keys=True, default_flow_style=False, allow_unicode=True,
        width=2**31 - 1,
    )  # fmt: skip
    return text.encode()
