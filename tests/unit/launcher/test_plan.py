"""Which processes a cluster consists of, and when crashed ones start again."""

from kubeherd.cluster.launcher import plan
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import Role
from kubeherd.cluster.launcher.settings import ExecKind, Settings, StoreKind, add_nodes
from kubeherd.cluster.runtime.rng import Rng


def test_the_command_lines_of_all_processes(rundir: RunDir):
    empty = Settings(port=7001, nodes_per_agent=2, store=StoreKind.MEMORY, speed=2.0, seed=5)
    found = plan.processes(add_nodes(empty, ["a", "b", "c"]), rundir)
    root = str(rundir.root)
    assert [(p.name, p.role, p.module) for p in found] == [
        ("apiserver", Role.APISERVER, "kubeherd.cluster.apiserver"),
        ("controller-manager", Role.CONTROLLER_MANAGER, "kubeherd.controller"),
        ("agent-0", Role.AGENT, "kubeherd.agents"),
        ("agent-1", Role.AGENT, "kubeherd.agents"),
    ]
    common = "--speed 2 --seed 5"
    logs = f"--pod-log-dir {root}/logs/pods"

    def sockets(name: str) -> str:
        run = f"{root}/run/{name}"
        return f"--metrics-socket {run}.metrics --faults-socket {run}.faults"

    assert [" ".join(p.args) for p in found] == [
        f"--dir {root} --port 7001 --store memory {common}",
        f"--kubeconfig {root}/kubeconfigs/controller-manager.kubeconfig "
        f"--scheduler-kubeconfig {root}/kubeconfigs/scheduler.kubeconfig "
        "--use-service-account-credentials "
        f"--cluster-signing-cert-file {root}/pki/ca.crt "
        f"--cluster-signing-key-file {root}/pki/ca.key "
        f"--service-account-private-key-file {root}/pki/sa.key "
        f"{sockets('controller-manager')} {common}",
        f"--node a --node b --fleet-kubeconfig {root}/kubeconfigs/agent-0.kubeconfig "
        f"{logs} {sockets('agent-0')} {common}",
        f"--node c --fleet-kubeconfig {root}/kubeconfigs/agent-1.kubeconfig "
        f"{logs} {sockets('agent-1')} {common}",
    ]


def test_controller_managers_differ_in_name_log_and_sockets_only(rundir: RunDir):
    first, second, third = plan.controller_managers(Settings(port=7001, controllers=3), rundir)
    assert [first.name, second.name, third.name] == [
        "controller-manager", "controller-manager-2", "controller-manager-3"
    ]  # fmt: skip
    assert second.role is Role.CONTROLLER_MANAGER
    assert second.log == rundir.log("controller-manager-2")
    metrics = str(rundir.metrics_socket("controller-manager-2"))
    faults = str(rundir.faults_socket("controller-manager-2"))
    assert set(second.args) - set(first.args) == {metrics, faults}


def test_commands_run_only_where_that_was_asked_for(rundir: RunDir):
    assert "--exec-local" not in plan.api_servers(Settings(port=7001), rundir)[0].args
    assert (
        "--exec-local" in plan.api_servers(Settings(port=7001, exec=ExecKind.LOCAL), rundir)[0].args
    )


def test_an_audit_policy_is_the_api_servers(rundir: RunDir):
    assert "--audit-policy" not in plan.api_servers(Settings(port=7001), rundir)[0].args
    args = plan.api_servers(Settings(port=7001, audit_policy="/p.yaml"), rundir)[0].args
    assert "--audit-policy /p.yaml" in " ".join(args)


def test_an_agent_with_one_node_has_its_identity_and_pod_logs(rundir: RunDir):
    settings = add_nodes(Settings(port=7001), ["a"])
    args = plan.agent(settings, rundir, "a").args
    assert args[:4] == ("--node", "a", "--kubeconfig-dir", str(rundir.kubeconfigs))
    assert args[4:6] == ("--pod-log-dir", str(rundir.logs / "pods"))


def test_back_off_grows_is_jittered_and_capped():
    rng = Rng(1)
    for crashes in (1, 2, 3, 20, 10**6):
        longest = min(plan.RESTART_CAP_S, plan.RESTART_BASE_S * 2 ** min(crashes - 1, 30))
        delays = [plan.restart_delay_s(crashes, rng) for _ in range(50)]
        assert all(longest / 2 <= delay <= longest for delay in delays)
        assert len(set(delays)) > 1
