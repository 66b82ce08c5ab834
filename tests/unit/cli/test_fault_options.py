"""The commands of faults: options made from the vocabulary, targets, what they print."""

import datetime
import hashlib
import json
import sys
import typing
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeherd.cluster.cli import faults as room
from kubeherd.cluster.cli.faults import commands as faults
from kubeherd.cluster.cli.faults import effectoptions
from kubeherd.cluster.cli.faults.listing import span
from kubeherd.cluster.cli.main import main
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.faults import asking, file
from kubeherd.cluster.launcher.settings import ClusterOptions
from kubeherd.faults import Clients, Component, Fault, FaultKind, Nodes, effects


class Asked:
    """Stands in for the supervisor of a cluster that has four nodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.faults: list[Fault] = []
        self.active: list[Fault] = []
        monkeypatch.setattr(asking, "begin", self.begin)
        monkeypatch.setattr(asking, "listed", lambda _rundir: self.active)
        monkeypatch.setattr(asking, "undo", self.undo)

    def begin(self, _rundir: RunDir, faults: list[Fault]) -> list[Fault]:
        self.faults = faults
        return faults

    def undo(self, _rundir: RunDir, *ids: str) -> list[Fault]:
        return [fault for fault in self.active if not ids or fault.id in ids]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "herd")
    made.prepare()
    made.save_settings(lifecycle.new_settings(ClusterOptions(speed=10), nodes=4, port=7001))
    return made


def invoke(rundir: RunDir, *args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args, env={"KUBEHERD_DIR": str(rundir.root)})
    assert result.exit_code == code, result.output
    return result


def one(rundir: RunDir, asked: Asked, *args: str) -> Fault:
    invoke(rundir, "fault", *args)
    [fault] = asked.faults
    return fault


def test_every_field_of_every_kind_has_a_meaning():
    fields = {
        field.name
        for effect in typing.get_args(effects.Effect)
        for field in msgspec.structs.fields(effect)
    }
    assert fields == set(effectoptions.MEANINGS)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_is_a_command_whose_options_are_all_different(kind: FaultKind):
    command = faults.fault.get_command(click.Context(faults.fault), kind)
    assert command is not None
    names = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("args", "effect"),
    [
        ("crash", effects.Crash()),
        ("restart --no-graceful --rolling", effects.Restart(graceful=False, rolling=True)),
        ("partition --direction answers --period 10s --share 30%",
         effects.Partition(direction=effects.Direction.ANSWERS, period_s=10, share=0.3)),
        ("slow-network --latency 200ms --jitter .05 --bandwidth 64Ki",
         effects.SlowNetwork(latency_s=0.2, jitter_s=0.05, bandwidth_bytes_per_s=65536)),
        ("api-error --code 429 --retry-after 5 --verb get,list --verb watch --resource pods",
         effects.ApiError(code=429, retry_after_s=5, verbs=("get", "list", "watch"),
                          resources=("pods",))),
        ("api-drop --moment after --probability 5%",
         effects.ApiDrop(moment=effects.Moment.AFTER, probability=0.05)),
        ("stale-list --revisions 7 --all", effects.StaleList(revisions=7, all=True)),
        ("clock-skew --offset -1m30s --drift 0.1", effects.ClockSkew(offset_s=-90, drift=0.1)),
        ("pod-crash --pod shop/web-0 --pod-selector app=web --namespace shop --exit-code 3",
         effects.PodCrash(names=("shop/web-0",), selector="app=web", namespace="shop",
                          exit_code=3)),
    ],
)  # fmt: skip
def test_options_are_parameters(rundir: RunDir, asked: Asked, args: str, effect: effects.Effect):
    fault = one(rundir, asked, *args.split(), "node-1")
    assert fault == Fault(id=effect.kind, target=Nodes(("node-1",)), effect=effect)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (
            "slow-network node-1 --latency soon",
            "Invalid value for '--latency': 'soon' is not a duration",
        ),
        ("slow-network node-1 --bandwidth much", "'much' is not a number of bytes"),
        ("slow-network node-1 --latency -1s", "--latency: Expected `float` >= 0.0"),
        ("api-drop --probability 200%", "--probability: Expected `float` <= 1.0"),
        ("api-drop --probability no", "'no' is not a share"),
        ("api-error", "Missing option '--code'"),
        ("crash", "name nodes or components, or say which nodes"),
        ("crash --percent 10 --count 1", "give either --percent or --count"),
        ("partition node-1 --client-user me", "give either clients or nodes and components"),
        ("undo", "give the IDs of faults, or --all"),
        ("undo crash --all", "give the IDs of faults, or --all"),
    ],
)
def test_wrong_usage_is_told(rundir: RunDir, asked: Asked, args: str, why: str):
    assert why in invoke(rundir, "fault", *args.split(), code=2).stderr
    assert asked.faults == []


@pytest.mark.parametrize(
    ("args", "target"),
    [
        ("crash node-2 node-0", Nodes(("node-2", "node-0"))),
        ("crash --percent 100", Nodes(("node-0", "node-1", "node-2", "node-3"))),
        ("crash node-2 node-0 --count 5", Nodes(("node-2", "node-0"))),
        ("freeze controller-manager", Component("controller-manager")),
        ("partition --client-user system:serviceaccount:* --client-agent kopf/*",
         Clients(user="system:serviceaccount:*", user_agent="kopf/*")),
        ("api-error --code 500", Clients()),
        ("store-full", Component("apiserver")),
        ("two-leaders", Component("controller-manager")),
    ],
)  # fmt: skip
def test_targets(rundir: RunDir, asked: Asked, args: str, target):
    assert one(rundir, asked, *args.split()).target == target


def test_some_at_random_are_those_that_are_not_hurt_and_the_same_for_a_seed(
    rundir: RunDir, asked: Asked
):
    asked.active = [Fault(id="f", target=Nodes(("node-1",)), effect=effects.Crash())]
    chosen = set()
    for seed in range(30):
        target = one(rundir, asked, "crash", "--percent", "30", "--seed", str(seed)).target
        assert isinstance(target, Nodes)
        assert len(target.names) == 2
        chosen |= set(target.names)
    assert chosen == {"node-0", "node-2", "node-3"}
    again = [one(rundir, asked, "crash", "--count", "1", "--seed", "5").target for _ in range(5)]
    assert len(set(again)) == 1


def test_nodes_and_several_components_are_a_fault_each(rundir: RunDir, asked: Asked):
    invoke(rundir, "fault", "restart", "controller-manager", "node-0", "apiserver", "--rolling")
    assert [fault.target for fault in asked.faults] == [
        Component("controller-manager"), Component("apiserver"), Nodes(("node-0",))
    ]  # fmt: skip


def test_nodes_by_label_and_zone(rundir: RunDir, asked: Asked, monkeypatch: pytest.MonkeyPatch):
    selectors = []

    def labelled(_rundir: RunDir, selector: str) -> set[str]:
        selectors.append(selector)
        return {"node-1", "node-3"}

    # The module itself makes clients, and sets up the log of the whole process.
    module = "kubeherd.cluster.cli.faults.api"
    replaced = SimpleNamespace(nodes_with=labelled)
    monkeypatch.setitem(sys.modules, module, replaced)
    monkeypatch.setattr(room, "api", replaced, raising=False)  # if it was loaded before
    fault = one(rundir, asked, "crash", "--zone", "a", "-l", "disk in (ssd)")
    assert fault.target == Nodes(("node-1", "node-3"))
    assert selectors == ["disk in (ssd),topology.kubernetes.io/zone=a"]
    shown = invoke(rundir, "fault", "crash", "node-0", "--zone", "a", code=1)
    assert shown.stderr == "Error: no node is meant by that\n"


def test_a_client_by_its_certificate(rundir: RunDir, asked: Asked, tmp_path: Path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1)
    ).sign(key, hashes.SHA256())
    file = tmp_path / "me.crt"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file.write_bytes(b"# mine\n" + pem + pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    fault = one(rundir, asked, "watch-stall", "--client-cert", str(file))
    assert fault.target == Clients(certificate=hashlib.sha256(der).hexdigest())
    file.write_text("nothing")
    shown = invoke(rundir, "fault", "watch-stall", "--client-cert", str(file), code=2)
    assert "has no certificate (PEM)" in shown.stderr


def test_what_is_begun_says_its_name_and_how_to_undo_it(rundir: RunDir, asked: Asked):
    done = invoke(rundir, "fault", "partition", "node-1", "--for", "2m", "--id", "cut")
    assert done.stdout == "cut\n"
    assert (
        f"partition node-1; `kubeherd fault undo cut --dir {rundir.root}` undoes it" in done.stderr
    )
    [fault] = asked.faults
    assert 0 < fault.until - datetime.datetime.now(datetime.UTC).timestamp() < 12.5  # of 10 times
    done = invoke(rundir, "fault", "reboot", "node-1")
    assert (done.stdout, "undo" in done.stderr) == ("", False)


def test_what_makes_no_sense_is_one_line(rundir: RunDir, asked: Asked):
    shown = invoke(rundir, "fault", "store-full", "controller-manager", code=1)
    assert shown.stderr == (
        "Error: store-full hurts the apiserver, not controller-manager\n"
    )  # fmt: skip
    assert asked.faults == []


def test_the_list_of_faults(rundir: RunDir, asked: Asked):
    assert invoke(rundir, "faults").stderr == "there are no faults\n"
    asked.active = [
        Fault(id="cut", target=Nodes(("node-1",)), effect=effects.Partition(period_s=3), at=1.0),
        Fault(id="e", target=Clients(user="[me]"), effect=effects.ApiError(code=500), until=9.0),
    ]
    rows = [line.split() for line in invoke(rundir, "faults").stdout.splitlines()]
    assert rows[0] == ["ID", "KIND", "WHOM", "HOW", "SINCE", "ENDS", "UNDO"]
    assert rows[1][:4] == ["cut", "partition", "node-1", "period-s=3"]
    assert rows[1][5:] == [
        "ago",
        "when",
        "undone",
        "kubeherd",
        "fault",
        "undo",
        "cut",
        "--dir",
        str(rundir.root),
    ]
    assert rows[2][2] == "user=[me]"
    assert rows[2][-8:-6] == ["in", "0s"]
    document = json.loads(invoke(rundir, "faults", "-o", "json").stdout)
    assert [fault["id"] for fault in document] == ["cut", "e"]
    assert msgspec.convert(document, list[Fault]) == asked.active


def test_undoing(rundir: RunDir, asked: Asked):
    assert invoke(rundir, "fault", "undo", "--all").stderr == "there are no faults\n"
    asked.active = [Fault(id="cut", target=Nodes(("node-1",)), effect=effects.Partition())]
    assert "undone: cut (partition node-1)" in invoke(rundir, "fault", "undo", "cut").stderr
    shown = invoke(rundir, "fault", "undo", "cut", "nix", code=1).stderr
    assert "undone: cut" in shown
    assert shown.endswith('Error: there is no fault "nix"\n')


def test_spans_are_short():
    assert [span(s) for s in (-3, 0.4, 59.6, 200, 7500)] == ["0s", "0s", "1m0s", "3m20s", "2h5m"]


def test_a_file_of_our_own_faults(rundir: RunDir, asked: Asked, tmp_path: Path):
    file = tmp_path / "faults.yaml"
    file.write_text("""
target: {type: nodes, names: [node-1]}
effect: {kind: partition, direction: answers}
---
- {id: slow, target: {type: component, name: apiserver}, effect: {kind: store-slow, delay_s: 1}}
""")
    invoke(rundir, "fault", "apply", "-f", str(file))
    assert [(fault.id, str(fault)) for fault in asked.faults] == [
        ("partition", "partition node-1 direction=answers"),
        ("slow", "store-slow apiserver delay-s=1"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file has no faults"),
        ("just text", "the file has no faults"),
        ("{a: [", "the file is not YAML"),
        (
            "{target: {type: nodes, names: []}, effect: {kind: crash}}",
            "not a fault: Expected `array`",
        ),
        (
            "{target: {type: clients}, effect: {kind: crash}}",
            "not a fault: crash hurts nodes or a component",
        ),
        ("{apiVersion: v1, kind: Pod}", "v1 Pod is no fault"),
    ],
)
def test_a_file_that_has_none_is_refused(
    rundir: RunDir, asked: Asked, tmp_path: Path, text: str, why: str
):
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    assert why in invoke(rundir, "fault", "apply", "-f", str(file), code=1).stderr
    assert asked.faults == []


def test_names_are_completed(rundir: RunDir):
    command = faults.fault.get_command(click.Context(faults.fault), "crash")
    assert command is not None
    context = click.Context(command)
    context.params["rundir"] = rundir
    [names] = [param for param in command.params if param.name == "targets"]
    found = [item.value for item in names.shell_complete(context, "")]
    assert found == ["apiserver", "controller-manager", "node-0", "node-1", "node-2", "node-3"]
    file.write(rundir, [Fault(id="cut", target=Nodes(("node-1",)), effect=effects.Partition())])
    for typed, ids in (("", ["cut"]), ("c", ["cut"]), ("x", [])):
        [param] = [param for param in faults.undo.params if param.name == "ids"]
        assert [item.value for item in param.shell_complete(context, typed)] == ids
