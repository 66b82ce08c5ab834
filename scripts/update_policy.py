#!/usr/bin/env python3
"""Make cluster/apiserver/access/authz/policy.json from the RBAC policy that Kubernetes publishes.

    scripts/update_policy.py DIRECTORY

DIRECTORY is plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata of a checkout of Kubernetes.
What all objects have in common is left out; policy.py knows it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).parent.parent / "cluster/apiserver/access/authz/policy.json"
COMMON_LABEL = "kubernetes.io/bootstrapping"
FOREIGN = ("system:openshift:",)
"""Names that a distribution has added."""
FILES = {
    "clusterRoles": ("cluster-roles", "controller-roles"),
    "clusterRoleBindings": ("cluster-role-bindings", "controller-role-bindings"),
    "roles": ("namespace-roles",),
    "roleBindings": ("namespace-role-bindings",),
}


def main() -> None:
    directory = Path(sys.argv[1])
    sections = []
    for section, files in FILES.items():
        items = [item for name in files for item in _items(directory / f"{name}.yaml")]
        lines = ",\n".join(json.dumps(_entry(item), separators=(",", ":")) for item in items)
        sections.append(f'"{section}":[\n{lines}\n]')
    TARGET.write_text("{" + ",\n".join(sections) + "}\n")


def _items(path: Path) -> list[dict[str, Any]]:
    items = yaml.safe_load(path.read_text())["items"]
    return [item for item in items if not item["metadata"]["name"].startswith(FOREIGN)]


def _entry(item: dict[str, Any]) -> dict[str, Any]:
    meta = item["metadata"]
    labels = {key: value for key, value in meta["labels"].items() if key != COMMON_LABEL}
    entry = {
        "namespace": meta.get("namespace"),
        "name": meta["name"],
        "labels": labels,
        "aggregationRule": item.get("aggregationRule"),
        "rules": item.get("rules"),
        "role": item.get("roleRef", {}).get("name"),
        "subjects": [
            [subject["kind"], subject.get("namespace", ""), subject["name"]]
            for subject in item.get("subjects") or ()
        ],
    }
    return {key: value for key, value in entry.items() if value}


if __name__ == "__main__":
    main()
