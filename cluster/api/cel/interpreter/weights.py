"""How many steps (`cel.effort`) it takes to evaluate an expression, or one turn of a loop in it.

Measured; a call whose types are open is slow, because its values have to choose the overload.
"""

from typing import Final

from kubeherd.cluster.api.cel.checker.validators import inside
from kubeherd.cluster.api.cel.syntax.nodes import Call, Comprehension, Literal, Node

TURN: Final = 2
"""A loop goes on to its next element."""
EVALUATION: Final = 20
"""An evaluation begins and ends."""
FAILED: Final = 24
"""An error that a loop or an operator does without."""
_OPEN, _OPERATOR, _FUNCTION, _LOOP = 16, 4, 10, 8
_SPECIAL: Final = {
    **dict.fromkeys(("_&&_", "_||_", "_?_:_", "@not_strictly_false", "dyn"), 1),
    **dict.fromkeys(("_[_]", "_[?_]"), 3),
    **dict.fromkeys(("ip", "cidr", "isIP", "isCIDR", "url", "isURL", "containsIP"), 30),
    "containsCIDR": 30,
    "check": 2_000,
}
PATTERNS: Final = frozenset({"matches", "find", "findAll"})
"""Functions whose last argument is a regular expression."""
_NEW_PATTERN: Final = 1_000


def weight(node: Node) -> int:
    """The steps of one evaluation; the turns of loops in it count when they are made."""
    if isinstance(node, Literal):
        return 0
    if isinstance(node, Comprehension):
        return _LOOP + weight(node.over) + weight(node.init) + weight(node.result)
    own = _call(node) if isinstance(node, Call) else 1
    return own + sum(map(weight, inside(node)))


def turn(node: Comprehension) -> int:
    """The steps of one turn of a loop."""
    return TURN + weight(node.condition) + weight(node.step)


def _call(node: Call) -> int:
    name = node.function
    if name in PATTERNS and not isinstance(node.arguments[-1], Literal):
        return _NEW_PATTERN
    if name in _SPECIAL:
        return _SPECIAL[name]
    if len(node.overloads) > 1:
        return _OPEN
    return _OPERATOR if "_" in name else _FUNCTION
