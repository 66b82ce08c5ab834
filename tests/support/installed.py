"""kubeherd as others get it: built from the sources, installed into fresh virtual environments.

Wheels of other projects are downloaded once, into a folder that outlives the test run; what a test
then does needs no network and little time.
"""

import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints-dev.txt"
BUILD_TIMEOUT_S = 250.0
DOWNLOAD_TIMEOUT_S = 250.0
INSTALL_TIMEOUT_S = 250.0
_CLASSIFIER = "Programming Language :: Python :: 3."


def run(
    *command: str | Path,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """A program's standard output; AssertionError with all that it wrote if it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=cwd,
        env=env,
    )
    assert done.returncode == 0, (
        f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def sources() -> list[Path]:
    """The files of the checkout, relative to `ROOT`: what git knows or would add."""
    listed = run("git", "ls-files", "-zco", "--exclude-standard", timeout_s=30, cwd=ROOT)
    return [Path(name) for name in listed.split("\0") if name and os.path.lexists(ROOT / name)]


@dataclass(frozen=True)
class Distributions:
    """What would be uploaded, and the wheel that the sdist makes."""

    wheel: Path
    sdist: Path
    wheel_from_sdist: Path

    @classmethod
    def build(cls, directory: Path) -> "Distributions":
        """Build from a copy of the sources: neither is old output seen nor new left behind."""
        checkout = directory / "checkout"
        for name in sources():
            target = checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
        # Without further options: the sdist, and the wheel from what it contains.
        run(*build, directory / "both", checkout, timeout_s=BUILD_TIMEOUT_S)
        run(*build, directory / "wheel", "--wheel", checkout, timeout_s=BUILD_TIMEOUT_S)
        return cls(
            wheel=next((directory / "wheel").glob("*.whl")),
            sdist=next((directory / "both").glob("*.tar.gz")),
            wheel_from_sdist=next((directory / "both").glob("*.whl")),
        )


def contents(wheel: Path) -> dict[str, int]:
    """The files in a wheel and their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def links(sdist: Path) -> list[str]:
    """The symbolic and hard links in an sdist."""
    with tarfile.open(sdist) as archive:
        return [member.name for member in archive if member.issym() or member.islnk()]


def tiny_wheel(directory: Path, package: str, source: str) -> Path:
    """The wheel of a project that has one package with one module."""
    info = f"{package}-1.dist-info"
    files = {
        f"{package}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = directory / f"{package}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def supported() -> list[int]:
    """The minor versions of Python 3 that pyproject.toml promises, ascending."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    minors = [line.removeprefix(_CLASSIFIER) for line in project["classifiers"]]
    return sorted(int(minor) for minor in minors if minor.isdecimal())


def interpreters() -> dict[int, Path]:
    """The supported Pythons of this machine by minor version: on PATH or installed by pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found: dict[int, Path] = {}
    for minor in supported():
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        places = [
            *([Path(on_path)] if on_path else []),
            *pyenv.glob(f"versions/3.{minor}.*/bin/{name}"),
        ]
        for python in (Path(sys.base_prefix, "bin", name), *places):
            if _works(python):
                found[minor] = python
                break
    return found


def _works(python: Path) -> bool:
    """Whether it starts (a shim of pyenv may not) and can make virtual environments."""
    try:
        return (
            subprocess.run(
                [python, "-c", "import venv, ssl, sqlite3"],
                capture_output=True,
                check=False,
                timeout=PATIENCE_S,
            ).returncode
            == 0
        )
    except OSError:
        return False


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Environment:
    """A virtual environment without pip, in which only what a test asked for is installed."""

    def __init__(self, python: Path, directory: Path, wheelhouse: Path) -> None:
        run(python, "-m", "venv", "--without-pip", directory, timeout_s=INSTALL_TIMEOUT_S)
        self.bin = directory / "bin"
        self.site_packages = next(directory.glob("lib/python3*/site-packages"))
        self._wheelhouse = wheelhouse
        self._home = directory

    def install(self, *requirements: str | Path, compiled: bool = True) -> float:
        """Install from the wheelhouse, which is filled first if need be. Not `compiled`: modules
        become bytecode when they are imported, which few of them are.

        Returns the processor seconds of the installation without the download: what it takes on an
        idle machine, however busy this one is.
        """
        try:
            return self._install(*requirements, compiled=compiled)
        except AssertionError:
            for earlier in self._wheelhouse.glob("kubeherd-*.whl"):
                earlier.unlink()  # pip would take what it needs for what this one needs
            self._pip(
                "download", "--quiet", "--only-binary=:all:", "--dest", self._wheelhouse,
                *requirements, timeout_s=DOWNLOAD_TIMEOUT_S,
            )  # fmt: skip
            return self._install(*requirements, compiled=compiled)

    def _install(self, *requirements: str | Path, compiled: bool) -> float:
        compiling = "--compile" if compiled else "--no-compile"
        offline = ("--quiet", compiling, "--no-index", "--find-links", self._wheelhouse)
        before_s = _children_cpu_s()
        self._pip("install", *offline, *requirements, timeout_s=INSTALL_TIMEOUT_S)
        return _children_cpu_s() - before_s

    def _pip(self, command: str, *args: str | Path, timeout_s: float) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", command)
        run(*pip, "--constraint", CONSTRAINTS, *args, timeout_s=timeout_s)

    def run(
        self, program: str, *args: str | Path, cwd: Path, timeout_s: float = 2 * PATIENCE_S
    ) -> str:
        """Run one of its programs as a user would: nothing of this process's environment."""
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self._home)}
        return run(self.bin / program, *args, cwd=cwd, env=environment, timeout_s=timeout_s)

    def record(self, project: str) -> list[Path]:
        """The files that a project has installed, absolute."""
        (info,) = self.site_packages.glob(f"{project}-*.dist-info")
        names = [line.rsplit(",", 2)[0] for line in (info / "RECORD").read_text().splitlines()]
        return [Path(os.path.normpath(self.site_packages / name)) for name in names]

    def size_mb(self) -> float:
        """What the installed packages take on the disk, in megabytes as `du -m` counts them."""
        files = (path for path in self.site_packages.rglob("*") if not path.is_dir())
        return sum(path.lstat().st_blocks * 512 for path in files) / 2**20
