"""Write the schemas that kubeherd ships, from an installed `kubernetes-validate`.

    pip install kubernetes-validate==1.37.0
    python scripts/update_schemas.py

That package holds the OpenAPI definitions of every version of Kubernetes as JSON schemas, 108 MB of
them; kubeherd serves one version. The definitions are taken as they are, without the white space,
one on a line, and preceded by what is looked up among all of them: which kind has which one. The
same package gives the same bytes; `tests/unit/api/test_api_schemas.py` pins their digest.
"""

import gzip
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from kubeherd.cluster.api.version import KUBERNETES_VERSION

PACKAGE = "kubernetes-validate"
TARGET = Path(__file__).parents[1] / "cluster" / "api" / "schemas" / "definitions.json.gz"
GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"


def main() -> None:
    """Write the file; exit code 1 with one line if the package is not there or is too old."""
    minor = KUBERNETES_VERSION.rpartition(".")[0]
    inside = PurePath("kubernetes-json-schema", f"{minor}.0-local", "_definitions.json")
    try:
        package_version = version(PACKAGE)
        folder = files("kubernetes_validate")
        definitions = json.loads(folder.joinpath(*inside.parts).read_bytes())["$defs"]
    except (PackageNotFoundError, OSError) as error:
        sys.exit(f"install a {PACKAGE} that knows Kubernetes {minor}: {error}")
    source = {
        "package": PACKAGE,
        "package_version": package_version,
        "file": str(inside),
        "kubernetes_version": f"{minor}.0",
        "license": "Apache-2.0, Copyright The Kubernetes Authors; see NOTICE",
        "made_by": "scripts/update_schemas.py",
    }
    text = document(source, definitions).encode()
    TARGET.write_bytes(gzip.compress(text, mtime=0))
    print(f"{TARGET.name}: {len(definitions)} definitions, {TARGET.stat().st_size:,} bytes")


def document(source: dict[str, str], definitions: dict[str, Any]) -> str:
    """The text of the file: a definition on a line, in the order of their names."""
    kinds = {
        "/".join((one["group"], one["version"], one["kind"])): key
        for key, definition in sorted(definitions.items())
        for one in definition.get(GROUP_VERSION_KIND, ())
    }
    lines = ",\n".join(
        f"{compact(key)}:{compact(definition)}" for key, definition in sorted(definitions.items())
    )
    head = f'"source":{compact(source)},\n"kinds":{compact(kinds)},\n'
    return f'{{{head}"definitions":{{\n{lines}\n}}}}\n'


def compact(tree: object) -> str:
    """JSON without white space."""
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)


if __name__ == "__main__":
    main()
