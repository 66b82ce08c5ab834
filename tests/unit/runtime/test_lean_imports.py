"""What our processes import without what they do not need (cluster/runtime/lean_*.py)."""

import subprocess
import sys

import pytest

PROGRAM = """
import ssl, sys
whole = ssl.create_default_context
import kubeherd.{module}
from aiohttp import connector
assert ssl.create_default_context is whole, "others get the certificates of the system"
unused = connector._SSL_CONTEXT_VERIFIED
assert unused.verify_mode is ssl.CERT_REQUIRED and unused.check_hostname
assert unused.cert_store_stats()["x509"] == 0 and not unused.get_ca_certs()
assert "rich.traceback" not in sys.modules
assert ("rich" in sys.modules) is ("kubeherd.cluster.cli.main" in sys.modules), "to print"
import rich
assert sys.modules["rich"] is rich
"""


PROCESSES = [
    "agents.__main__", "cluster.apiserver.__main__", "controller.__main__",
    "cluster.cli.main, kubeherd.cluster.cli.api",
]  # fmt: skip
"""The last is what commands load that ask the API server."""


@pytest.mark.parametrize("module", PROCESSES)
def test_a_process_reads_no_certificates_that_it_does_not_use(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [*PROCESSES, "cluster.launcher.__main__"])
def test_a_process_loads_no_faults_before_the_first(module: str) -> None:
    program = f"import sys, kubeherd.{module}; print('kubeherd.faults' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
