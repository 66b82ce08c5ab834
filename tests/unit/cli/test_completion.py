"""Lazy commands, and the scripts that make shells complete them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from patience import PATIENCE_S

from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir

PROGRAM = Path(sys.executable).with_name("kubeherd")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")

LOADED = """
import sys
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*(name for name in sys.modules if name.startswith("kubeherd.")), file=sys.stderr)
"""


def loaded(directory: Path, *args: str) -> set[str]:
    """The second name of each of kubeherd's modules that a command has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *args],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        env={**os.environ, "KUBEHERD_DIR": str(directory)},
    )  # fmt: skip
    return {name.split(".")[1] for name in done.stderr.splitlines()[-1].split()}


def script(shell: str) -> str:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0, result.output
    return result.output


def complete(*words: str) -> list[str]:
    """What bash offers for the last word, with the script of `kubeherd completion bash`."""
    typed = " ".join(f"'{word}'" for word in words)
    program = f"""
        {script("bash")}
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
        _kubeherd_completion '{PROGRAM}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


def test_no_command_loads_what_another_runs(tmp_path: Path) -> None:
    assert loaded(tmp_path / "none", "status") == {"cluster"}
    assert loaded(tmp_path / "none", "demo", "--help") == {"cluster", "demo"}
    assert loaded(tmp_path / "none", "chaos", "run", "--help") == {"chaos", "cluster"}


@needs_bash
def test_bash_completes_commands_and_options() -> None:
    assert complete("kubeherd", "no") == ["node"]
    assert complete("kubeherd", "de") == ["demo"]
    assert complete("kubeherd", "node", "fr") == ["freeze"]
    assert complete("kubeherd", "up", "--sp") == ["--speed"]
    assert complete("kubeherd", "up", "--store", "") == ["sqlite", "memory", "etcd"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_its_script(shell: str) -> None:
    text = script(shell)
    assert "_KUBEHERD_COMPLETE" in text
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    subprocess.run([shell, "-n"], input=text, text=True, timeout=PATIENCE_S, check=True)


def test_the_help_says_how_to_enable_it() -> None:
    text = CliRunner().invoke(main, ["completion", "--help"]).output
    for words in ("~/.bashrc", "~/.zshrc", "~/.config/fish/completions/kubeherd.fish"):
        assert words in text


@needs_bash
def test_bash_completes_names_of_the_cluster_that_is_meant(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "herd")
    rundir.prepare()
    rundir.save_settings(lifecycle.new_settings(nodes=2, port=20_000))
    rundir.log("apiserver").touch()
    where = ("--dir", str(rundir.root))
    assert complete("kubeherd", "node", "kill", *where, "") == ["node-0", "node-1"]
    assert complete("kubeherd", "logs", *where, "ap") == ["apiserver"]
    assert complete("kubeherd", "node", "kill", "--dir", str(tmp_path / "none"), "") == []
