"""`kubeherd status`: what runs, for people and for programs."""

import json

import click
from rich.table import Table

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.cli.options import directory_option
from kubeherd.cluster.cli.output import out
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.directory.rundir import RunDir
from kubeherd.cluster.launcher.plan import Phase, Role, processes
from kubeherd.cluster.launcher.processes import osproc
from kubeherd.cluster.launcher.state import ClusterState, ProcessState


@click.command(
    epilog="""\b
Examples:
  kubeherd status
  kubeherd status -o json | jq '.nodes[] | select(.ready | not) | .name'
"""
)
@directory_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def status(rundir: RunDir, output: str) -> None:
    """Show the processes and the nodes of a cluster."""
    document = read_status(rundir)
    if output == "json":
        click.echo(json.dumps(document, indent=2))
    else:
        _print(document)


def read_status(rundir: RunDir) -> JsonObject:
    """The document of `status -o json`; LauncherError if there is no cluster."""
    settings = rundir.load_settings()
    state, supervised = lifecycle.current_state(rundir)
    known = {process.name: process for process in state.processes}
    states = [
        known.get(spec.name)
        or ProcessState(name=spec.name, role=spec.role, phase=Phase.DOWN, nodes=spec.nodes)
        for spec in processes(settings, rundir)
    ]
    entries = [_process(one) for one in states]
    pids = {entry["name"]: entry["pid"] for entry in entries}
    readiness: dict[str, bool] = {}
    if settings.joined:
        from kubeherd.cluster.cli import joined  # noqa: PLC0415 - few join

        readiness = joined.look(rundir, settings.node_names)
    elif any(pids[name] for name in settings.api_servers):
        from kubeherd.cluster.cli import api  # noqa: PLC0415 - slow to import, needed only here

        seen = api.look(rundir)
        readiness = seen.readiness
        for entry, one in zip(entries, states, strict=True):
            entry["leads"] = entry["alive"] and one.process == seen.leader
    ours = {node.name: pids[node.agent] for node in settings.nodes}
    names = [*ours, *(name for name in readiness if name not in ours)]
    return {
        "apiserver": {
            "url": settings.server,
            "pid": next((pids[name] for name in settings.api_servers if pids[name]), None),
        },
        "supervisor": {"pid": _supervisor_pid(state) if supervised else None},
        "processes": entries,
        "nodes": [
            {"name": name, "ready": readiness.get(name, False), "pid": ours.get(name)}
            for name in names
        ],
        "dir": str(rundir.root),
        "kubeconfig": None if settings.joined else str(rundir.kubeconfig),
        "joined": bool(settings.joined),
        "store": settings.store.value,
        "speed": settings.speed,
        "seed": settings.seed,
    }


def _process(state: ProcessState) -> JsonObject:
    alive = state.process is not None and osproc.alive(state.process)
    return {
        "name": state.name,
        "role": state.role.value,
        "pid": state.process.pid if alive and state.process is not None else None,
        "alive": alive,
        "phase": state.phase.value if alive or state.phase is Phase.BACKOFF else Phase.DOWN.value,
        "restarts": state.restarts,
        "port": state.port if alive and state.port else None,
        "leads": False,
        "nodes": list(state.nodes),
    }


def _supervisor_pid(state: ClusterState) -> int | None:
    return state.supervisor.pid if state.supervisor is not None else None


def _print(document: JsonObject) -> None:
    pid, url = document["apiserver"]["pid"], document["apiserver"]["url"]
    if document["joined"]:
        out.print(f"API server  {url}, elsewhere")
    else:
        out.print(f"API server  {url}" + ("" if pid else "  [red](down)[/]"))
        out.print(f"kubeconfig  {document['kubeconfig']}", markup=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    servers = [one for one in document["processes"] if one["role"] == Role.APISERVER]
    for column in ("PROCESS", "PID", "PHASE", "RESTARTS", "NODES READY"):
        table.add_column(column)
    if servers[1:]:
        table.add_column("PORT")
    ready = {node["name"]: node["ready"] for node in document["nodes"]}
    managers = [one for one in document["processes"] if one["role"] == Role.CONTROLLER_MANAGER]
    for process in document["processes"]:
        nodes = process["nodes"]
        count = sum(ready.get(node, False) for node in nodes)
        table.add_row(
            process["name"],
            str(process["pid"] or "-"),
            _coloured(process["phase"]) + (" (leads)" if process["leads"] and managers[1:] else ""),
            str(process["restarts"]),
            f"{count}/{len(nodes)}" if nodes else "",
            *([str(process["port"] or "")] if servers[1:] else []),
        )
    out.print(table)
    here = {node for process in document["processes"] for node in process["nodes"]}
    if elsewhere := [is_ready for node, is_ready in ready.items() if node not in here]:
        out.print(f"nodes elsewhere, Ready: {sum(elsewhere)}/{len(elsewhere)}")


def _coloured(phase: str) -> str:
    colours = {Phase.RUNNING: "green", Phase.FROZEN: "cyan", Phase.DOWN: "red"}
    return f"[{colours.get(Phase(phase), 'yellow')}]{phase}[/]"
