"""Makes the tables of docs/reference/faults.md from the vocabulary (kubeherd.faults).

python scripts/update_faults_page.py
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from kubeherd.cluster.cli.faults.effectoptions import EFFECTS, MEANINGS, option_name
from kubeherd.faults import Clients, Nodes
from kubeherd.faults.fault import components_of, targets_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "faults.md"
KINDS, PARAMETERS, END = "<!-- kinds -->", "<!-- parameters -->", "<!-- end -->"
_WORDS: Mapping[type, str] = {Nodes: "nodes", Clients: "clients"}


def kinds() -> Iterator[str]:
    """The table of all kinds."""
    yield "| kind | hurts | what happens | parameters |"
    yield "|---|---|---|---|"
    for kind, effect in EFFECTS.items():
        hurt = ", ".join(
            _WORDS.get(target) or ", ".join(components_of(kind) or ["components"])
            for target in targets_of(kind)
        )
        about = " ".join((effect.__doc__ or "").split())
        parameters = ", ".join(
            f"`{field.name}`{_default(field)}" for field in msgspec.structs.fields(effect)
        )
        yield f"| `{kind}` | {hurt} | {about} | {parameters} |"


def parameters() -> Iterator[str]:
    """The table of all parameters."""
    yield "| parameter | option | meaning |"
    yield "|---|---|---|"
    for name, meaning in MEANINGS.items():
        yield f"| `{name}` | `{option_name(name)}` | {meaning.partition('  [default')[0]} |"


def page(text: str) -> str:
    """The page with its tables as they should be."""
    before, rest = text.split(KINDS)
    between, rest = rest.split(PARAMETERS)
    after = between.split(END)[1]
    end = rest.split(END)[1]
    made = [("\n".join(table())) for table in (kinds, parameters)]
    return f"{before}{KINDS}\n{made[0]}\n{END}{after}{PARAMETERS}\n{made[1]}\n{END}{end}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return " (required)"
    default = field.default
    if default in ((), "", 0, None, False):
        return ""
    return f" ({default:g})" if isinstance(default, float) else f" ({default})"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    sys.exit(0)
