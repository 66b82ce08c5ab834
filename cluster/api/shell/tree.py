"""What scripts are made of, as a tree: words with what is expanded in them, and commands."""

from typing import NamedTuple, TypeAlias


class Unknown(Exception):
    """Not understood."""


class Literal(NamedTuple):
    """Text that means itself."""

    text: str
    quoted: bool


class Variable(NamedTuple):
    """`$NAME` or `$?`."""

    name: str
    quoted: bool


class Arithmetic(NamedTuple):
    """`$((...))`: the expression, with its variables still in it."""

    text: str
    quoted: bool


class Substitution(NamedTuple):
    """`$(...)`: the script in it, not taken apart yet."""

    text: str
    quoted: bool


Part: TypeAlias = Literal | Variable | Arithmetic | Substitution
Word: TypeAlias = tuple[Part, ...]


class Simple(NamedTuple):
    """A simple command, and the file that its output goes to."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    into: Word | None = None
    appends: bool = False


class Not(NamedTuple):
    """`! COMMAND`."""

    command: "Command"


class If(NamedTuple):
    """Conditions with what follows from them, in order, and what else."""

    branches: tuple[tuple["Script", "Script"], ...]
    otherwise: "Script"


class Loop(NamedTuple):
    """`while CONDITION`; `until`: as long as it does not hold."""

    until: bool
    condition: "Script"
    body: "Script"


class For(NamedTuple):
    """`for NAME in WORDS`."""

    name: str
    words: tuple[Word, ...]
    body: "Script"


class Function(NamedTuple):
    """`NAME() { ...; }`."""

    name: str
    body: "Script"


Command: TypeAlias = Simple | Not | If | Loop | For | Function


class Item(NamedTuple):
    """A command and the operator before it: `;` (or a newline), `&&` or `||`."""

    before: str
    command: Command


Script: TypeAlias = tuple[Item, ...]
