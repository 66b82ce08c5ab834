"""CEL: an expression is compiled once, with types, and evaluated often.

``compiled(source, environment)`` gives a `Program` or raises `Uncompilable` with the text that
cel-go has. ``program.run(variables, limit)`` gives the value and what it cost.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from kubeherd.cluster.api.cel import effort
from kubeherd.cluster.api.cel.checker import checking, validators
from kubeherd.cluster.api.cel.checker.checking import Environment
from kubeherd.cluster.api.cel.checker.types import Type
from kubeherd.cluster.api.cel.effort import TooCostly
from kubeherd.cluster.api.cel.interpreter import interpreting, weights
from kubeherd.cluster.api.cel.interpreter.datatypes import Failure
from kubeherd.cluster.api.cel.interpreter.running import Frame, Lazy, Run
from kubeherd.cluster.api.cel.syntax import parsing
from kubeherd.cluster.api.cel.syntax.lexing import Problem
from kubeherd.cluster.api.cel.syntax.nodes import Ident, Node

__all__ = ["CALL_LIMIT", "Environment", "Evaluated", "Failure", "Lazy", "Program", "TooCostly",
           "Uncompilable", "compiled"]  # fmt: skip

CALL_LIMIT: Final = 1_000_000
"""What one evaluation may cost."""


class Uncompilable(ValueError):
    """An expression with errors: what failed, with the text that shows each of them."""


class Evaluated(msgspec.Struct, frozen=True):
    """What came of an evaluation: the value, or why there is none, and the cost."""

    value: Any
    cost: int
    failure: str = ""
    stopped: bool = False
    """It cost more than it may."""


class Program(msgspec.Struct, frozen=True, eq=False):
    """A compiled expression."""

    source: str
    tree: Node
    type: Type
    names: frozenset[str]
    """The variables of the environment that it uses."""
    evaluate: Run
    weight: int
    """The steps of one evaluation, without the turns of loops."""

    def run(self, variables: Mapping[str, Any], limit: int = CALL_LIMIT) -> Evaluated:
        """Evaluate it; never raises."""
        frame = Frame(variables, limit)
        try:
            frame.effort.take(self.weight)
            return Evaluated(self.evaluate(frame), frame.cost)
        except Failure as failure:
            return Evaluated(None, frame.cost, str(failure))
        except TooCostly as error:
            return Evaluated(None, frame.cost, str(error), stopped=True)
        except RecursionError:
            return Evaluated(None, frame.cost, "the value is nested too deep")


def compiled(source: str, environment: Environment) -> Program:
    """A program; Uncompilable if the expression has errors, TooCostly if there is no effort left
    for it."""
    effort.take(min(len(source), parsing.MAX_CHARS) * effort.COMPILED_CHAR)
    try:
        tree = parsing.parse(source)
        problems = checking.check(tree, environment)
        if problems:
            raise _uncompilable(source, problems)
        unreadable = validators.unreadable_pattern(tree)
        if unreadable:
            raise Uncompilable(f"program instantiation failed: {unreadable}")
        names = frozenset(_names(tree)) & environment.variables.keys()
        run, weight = interpreting.plan(tree), weights.EVALUATION + weights.weight(tree)
        return Program(source, tree, tree.type, names, run, weight)
    except parsing.Unparsable as error:
        raise _uncompilable(source, error.problems) from None
    except RecursionError:
        text = f"expression recursion limit exceeded: {parsing.MAX_DEPTH}"
        raise _uncompilable(source, [Problem(text, -1)]) from None


def _uncompilable(source: str, problems: list[Problem]) -> Uncompilable:
    return Uncompilable("compilation failed: " + "\n".join(shown(source, problems)))


def _names(tree: Node) -> Iterable[str]:
    """All names in an expression, loops' variables among them."""
    if isinstance(tree, Ident):
        yield tree.name
    for inner in validators.inside(tree):
        yield from _names(inner)


def shown(source: str, problems: Iterable[Problem]) -> Iterable[str]:
    """The problems as cel-go prints them, with the line and a mark below it."""
    for problem in problems:
        if problem.at < 0:
            yield f"ERROR: <input>:-1:0: {problem.text}"
            continue
        before = source[: problem.at]
        line = before.count("\n")
        column = problem.at - (before.rfind("\n") + 1)
        text = source.split("\n")[line].replace("\t", " ")
        yield (
            f"ERROR: <input>:{line + 1}:{column + 1}: {problem.text}\n | {text}\n | {'.' * column}^"
        )
