"""What our processes import without what they do not need (cluster/runtime/lean)."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.runtime.lean import attrs as lean_attrs

PROGRAM = """
import ssl, sys
whole = ssl.create_default_context
import kubeherd.{module}
assert ssl.create_default_context is whole, "others get the certificates of the system"
assert ("aiohttp" in sys.modules) is ("kubeherd.cluster.apiserver" in sys.modules), "to serve"
if "aiohttp" in sys.modules:
    from aiohttp import connector
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
import kubeherd.cluster.runtime.lean.aiohttp_server
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
        ("from kubeherd.cluster.runtime.lean import attrs; del attrs.ib", True),
        (
            "from kubeherd.cluster.runtime.lean import attrs; attrs.s = lambda: None",
            True,
        ),
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
import kubeherd.cluster.runtime.lean.cryptography
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


SUBJECT = """
import re
compiled = re.compile
import kubeherd.cluster.runtime.lean.cryptography
from cryptography import x509
assert re.compile is compiled
parser = x509.name._RFC4514NameParser
assert not isinstance(parser._STRING_RE, re.Pattern), "compiled with the import"
name = x509.Name.from_rfc4514_string(r"CN=a\\2Cb,O=system:nodes")
assert name.rfc4514_string() == r"CN=a\\,b,O=system:nodes", name
"""


SIGNATURE = """
import sys
import kubeherd.cluster.runtime.lean.cryptography
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
how = ec.ECDSA(hashes.SHA256())
key.public_key().verify(key.sign(b"x", how), b"x", how)
assert "cryptography.hazmat.primitives.ciphers.algorithms" not in sys.modules
from cryptography.hazmat.backends.openssl.backend import backend
can = backend.ecdsa_deterministic_supported()
assert type(can) is bool
try:
    ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
except UnsupportedAlgorithm:
    can = not can
assert can
import cryptography.hazmat.backends.openssl.backend as whole
assert whole.Backend.name == "openssl"
"""


def test_who_asks_what_openssl_can_do_is_told() -> None:
    run(SIGNATURE)


def test_who_reads_names_of_subjects_gets_the_parser() -> None:
    run(SUBJECT)


WITHOUT_TOOLS = """
import sys
import kubeherd.cluster.runtime.lean.structlog
import structlog
tools = {"structlog.dev", "structlog.testing", "dataclasses"}
assert not tools & sys.modules.keys()
with structlog.testing.capture_logs() as lines:
    structlog.get_logger().info("seen", by="a test")
assert lines == [{"event": "seen", "by": "a test", "log_level": "info"}], lines
import structlog.dev
assert structlog.dev.ConsoleRenderer is sys.modules["structlog.dev"].ConsoleRenderer
assert structlog.get_config()["processors"][-1](None, "info", {"event": "x"}).strip()
"""


def test_who_wants_the_tools_of_structlog_gets_them() -> None:
    run(WITHOUT_TOOLS)


WITHOUT_UNUSED = """
import sys
import kubeherd.cluster.runtime.lean.aiohttp_server
from aiohttp import helpers
from yarl import URL
for name in ("email.policy", "html", "idna", "netrc", "tempfile", "urllib.request"):
    assert name not in sys.modules, name
kind, parameters = helpers.parse_content_type("application/json; charset=utf-8")
assert kind == "application/json" and parameters["charset"] == "utf-8"
assert URL("http://b\\u00fccher.example/").raw_host == "xn--bcher-kva.example"
assert helpers.netrc_from_env() is None
assert not helpers.proxies_from_env()
import urllib.request, html
assert helpers.getproxies() == urllib.request.getproxies() and html.escape("<") == "&lt;"
"""


def test_what_aiohttp_seldom_uses_is_loaded_when_it_does() -> None:
    run(WITHOUT_UNUSED)


MISUSE = """
import sys
sys.path.insert(0, {directory!r})
from kubeherd.cluster.runtime.lean import standins as lean_standins
lean_standins.load("demanding", ["graphlib", "sched"])
import demanding, sched
assert demanding.Sorter.__mro__[1].__module__ == "graphlib"
assert sys.modules["sched"] is sched and sched.scheduler
"""


def test_a_library_that_wants_more_than_a_stand_in_gets_the_module(tmp_path: Path) -> None:
    (tmp_path / "demanding.py").write_text(
        "import sched\nfrom graphlib import TopologicalSorter\n\n"
        "class Sorter(TopologicalSorter): pass\n"
    )
    run(MISUSE.format(directory=str(tmp_path)))


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
