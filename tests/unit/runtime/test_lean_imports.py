"""What our processes import without what they do not need (cluster/runtime/lean_*.py)."""

import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.runtime import lean_attrs

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


VALUES = """
import sys
{before}
import kubeherd.cluster.runtime.lean_aiohttp_server
import aiohttp, aiohttp.client_ws, aiohttp.web_request
assert ("attr" in sys.modules) is {with_attrs}
short = aiohttp.ClientTimeout(3)
assert short == aiohttp.ClientTimeout(total=3) != aiohttp.ClientTimeout(4)
assert hash(short) == hash(aiohttp.ClientTimeout(total=3)) and short.ceil_threshold == 5
try:
    short.total = 4
except AttributeError:
    pass
else:
    raise AssertionError("not frozen")
assert sys.modules[short.__class__.__module__] is aiohttp.client
longer = aiohttp.client.attr.evolve(aiohttp.client_ws.DEFAULT_WS_CLIENT_TIMEOUT, ws_receive=1)
assert (longer.ws_receive, longer.ws_close) == (1, 10.0), longer
from aiohttp import web
assert not web.WebSocketReady(False, None) and web.WebSocketReady(True, "x")
import attr
assert attr.asdict(attr.make_class("Point", ["x"])(1)) == {{"x": 1}}, "others get attrs"
"""


@pytest.mark.parametrize(
    ("before", "with_attrs"),
    [
        ("", False),
        ("from kubeherd.cluster.runtime import lean_attrs; del lean_attrs.ib", True),
        ("from kubeherd.cluster.runtime import lean_attrs; lean_attrs.s = lambda: None", True),
        ("import attr", True),
    ],
    ids=["as it is", "asks for another name", "asks for another option", "attrs is there"],
)
def test_value_classes_of_aiohttp_are_what_attrs_makes(before: str, with_attrs: bool) -> None:
    program = VALUES.format(before=before, with_attrs=with_attrs)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_other_classes_are_left_to_attrs() -> None:
    with pytest.raises(TypeError):
        lean_attrs.s(frozen=False, slots=True)
    with pytest.raises(TypeError):
        lean_attrs.s(frozen=True, slots=True)(ValueError)


SSH_KEY = """
import sys
import kubeherd.cluster.runtime.lean_cryptography
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
assert "cryptography.hazmat.primitives.ciphers.algorithms" not in sys.modules
line = b"ecdsa-sha2-nistp256 " + {key!r}
assert isinstance(serialization.load_ssh_public_key(line), ec.EllipticCurvePublicKey)
from cryptography.hazmat.primitives.serialization import ssh
assert isinstance(ssh.SSHCertificateType, type)
"""


def test_who_wants_the_formats_of_openssh_gets_them() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    program = SSH_KEY.format(key=line.split()[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
