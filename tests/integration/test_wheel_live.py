"""The wheel, where it has to work: in environments that know nothing of the checkout.

Built from the sources, installed with the oldest and the newest supported Python that this machine
has, beside a package called `agents` as the OpenAI Agents SDK installs one. `PROGRAMS` is what then
runs there, each in an empty directory.
"""

import enum
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from installed import (
    ROOT,
    Distributions,
    Environment,
    contents,
    interpreters,
    links,
    sources,
    supported,
    tiny_wheel,
)

pytestmark = pytest.mark.integration

FOLDERS = ("agents", "cluster", "controller")
"""Of the checkout; in the wheel they are below `kubeherd`."""
SIZE_LIMIT_MB = 90
FIRST_NODE_LIMIT_S = 30


class With(enum.Enum):
    """The Pythons that a program runs with: what takes long runs with one of them."""

    EACH = enum.auto()
    OLDEST = enum.auto()
    NEWEST = enum.auto()
    """What `test_commands_live` runs from the checkout, where Python is the oldest."""


@dataclass(frozen=True)
class Program:
    """What a person runs: a command, files that lie in its directory, packages it needs besides.

    Those of all programs are there from the beginning; with the newest Python it is pytest alone.
    """

    command: str
    prints: str
    files: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    python: With = With.EACH


EXAMPLES = ROOT / "examples"
USERS_TEST = """
def test_a_dead_node_is_noticed(kubeherd_cluster):
    kubeherd_cluster.kill_node("node-1")
    kubeherd_cluster.wait_not_ready("node-1")
"""
USERS_SCRIPT = """
import kubeherd

with kubeherd.Cluster(nodes=1) as cluster:
    cluster.wait_ready()
    print("ready:", *cluster.node_names)
"""
UNITTEST = """
import unittest

program = unittest.main(module=None, argv=["unittest", "discover"], exit=False)
print("succeeded:", program.result.wasSuccessful(), program.result.testsRun)
"""
"""`python -m unittest` writes to stderr only, and with 3.11 finding no test is a success."""


def project(name: str) -> dict[str, str]:
    """The files of an example project, without caches."""
    folder = EXAMPLES / name
    paths = [path for kind in ("*.py", "*.toml") for path in folder.rglob(kind)]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


PROGRAMS = {
    "version": Program("kubeherd --version", prints="serves Kubernetes v1."),
    "module": Program("python -m kubeherd --version", prints="serves Kubernetes v1."),
    "completion": Program("kubeherd completion bash", prints="_KUBEHERD_COMPLETE"),
    "demo": Program(
        "kubeherd demo --speed 20", prints="every process has ended", python=With.NEWEST
    ),
    "bench": Program("kubeherd bench --row start", prints='"row": "start"', python=With.NEWEST),
    "chaos": Program(
        "kubeherd chaos run dying-nodes --seed 7 --simulate",
        prints="held",
        python=With.NEWEST,
    ),
    "test": Program(
        "python -m pytest -q test_mine.py",
        prints="1 passed",
        files={"test_mine.py": USERS_TEST},
        packages=("pytest",),
    ),
    "script": Program("python mine.py", prints="ready: node-0\n", files={"mine.py": USERS_SCRIPT}),
    "operator-kopf": Program(
        "python -m pytest -q",
        prints="3 passed",
        files=project("operator-kopf"),
        packages=("pytest", "kopf", "kubernetes-asyncio"),
        python=With.OLDEST,
    ),
    "survives-a-node": Program(
        "python -m pytest -q",
        prints="2 passed",
        files=project("survives-a-node"),
        packages=("pytest", "pytest-asyncio", "kubernetes-asyncio"),
        python=With.OLDEST,
    ),
    "with-unittest": Program(
        "python run.py",
        prints="succeeded: True 2\n",
        files={"run.py": UNITTEST, **project("with-unittest")},
        python=With.OLDEST,
    ),
}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return Distributions.build(tmp_path_factory.mktemp("build"))


@dataclass(frozen=True)
class Installed:
    """An environment with kubeherd, and how it was when nothing but that had been installed."""

    environment: Environment
    size_mb: float
    install_cpu_s: float
    roles: frozenset[With]


@pytest.fixture(scope="module", params=["oldest", "newest"])
def installed(
    request: pytest.FixtureRequest,
    distributions: Distributions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:
    found = interpreters()
    assert found, "not even the Python that runs this test was found"
    minor = min(found) if request.param == "oldest" else max(found)
    if request.param == "newest" and len(found) == 1:
        pytest.skip(f"of Python 3.{supported()} this machine has only 3.{minor}")
    directory = tmp_path_factory.mktemp(f"python3.{minor}")
    wheelhouse = request.config.cache.mkdir("wheelhouse")
    environment = Environment(found[minor], directory, wheelhouse)
    install_cpu_s = environment.install(distributions.wheel)
    size_mb = environment.size_mb()
    roles = {With.EACH: True, With.OLDEST: minor == min(found), With.NEWEST: minor == max(found)}
    held = frozenset(role for role, is_held in roles.items() if is_held)
    # In one go: each run of pip looks through all that is there.
    environment.install(
        tiny_wheel(directory, "agents", "WHO = 'another project'\n"),
        *{name for one in PROGRAMS.values() if one.python in held for name in one.packages},
        compiled=False,
    )
    yield Installed(environment, size_mb, install_cpu_s, held)
    shutil.rmtree(directory)


def test_the_wheel_holds_the_package_and_nothing_else(distributions: Distributions):
    wanted = {
        str(path) if path.parts[0] == "kubeherd" else f"kubeherd/{path}"
        for path in sources()
        if path.parts[0] in ("kubeherd", *FOLDERS) and not (ROOT / path).is_dir()
    }
    info = "kubeherd-"
    assert {name for name in contents(distributions.wheel) if not name.startswith(info)} == wanted
    assert {"kubeherd/py.typed", "kubeherd/demo/fluentd-daemonset.yaml"} <= wanted


def test_the_sdist_makes_the_same_wheel(distributions: Distributions):
    assert contents(distributions.wheel_from_sdist) == contents(distributions.wheel)
    assert links(distributions.sdist) == []


def test_the_licence_and_the_notice_come_with_it(distributions: Distributions):
    names = [name.partition("/")[2] for name in contents(distributions.wheel)]
    assert {"licenses/LICENSE", "licenses/NOTICE"} <= set(names)


def test_nothing_lies_outside_of_kubeherd(installed: Installed):
    environment = installed.environment
    files = environment.record("kubeherd")
    in_site = [
        f.relative_to(environment.site_packages) for f in files if f.parent != environment.bin
    ]
    assert {path.parts[0].partition("-")[0] for path in in_site} == {"kubeherd"}
    assert [f.name for f in files if f.parent == environment.bin] == ["kubeherd"]
    assert [f for f in files if f.is_symlink() or not f.is_file()] == []


def test_both_packages_called_agents_work(installed: Installed, tmp_path: Path):
    code = "import agents, kubeherd.agents as ours; print(agents.WHO, '|', ours.__name__)"
    output = installed.environment.run("python", "-c", code, cwd=tmp_path)
    assert output == "another project | kubeherd.agents\n"


def test_nothing_comes_from_the_checkout(installed: Installed, tmp_path: Path):
    """Else the others here would try the sources, by a path or an editable install left behind."""
    code = "import sys, kubeherd; print(kubeherd.__file__, *filter(None, sys.path), sep='\\n')"
    environment = installed.environment
    used, *paths = environment.run("python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(used) == environment.site_packages / "kubeherd" / "__init__.py"
    assert [path for path in paths if Path(path).resolve().is_relative_to(ROOT)] == []


def test_size_with_all_dependencies(installed: Installed):
    assert installed.size_mb <= SIZE_LIMIT_MB


def test_soon_after_the_install_a_node_is_ready(installed: Installed, tmp_path: Path):
    began_s = time.monotonic()
    installed.environment.run("kubeherd", "up", "--nodes", "1", cwd=tmp_path)
    up_s = time.monotonic() - began_s
    installed.environment.run("kubeherd", "down", "--purge", cwd=tmp_path)
    assert installed.install_cpu_s + up_s <= FIRST_NODE_LIMIT_S
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_runs_there(installed: Installed, tmp_path: Path, name: str):
    program = PROGRAMS[name]
    if program.python not in installed.roles:
        pytest.skip(f"runs with the {program.python.name.lower()} Python")
    for target, text in program.files.items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / target).write_text(text)
    assert program.prints in installed.environment.run(*program.command.split(), cwd=tmp_path)
