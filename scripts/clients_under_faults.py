"""What Python clients and an operator make of faults: the figures of docs/chaos/clients.md.

    python scripts/clients_under_faults.py [--client NAME] [--fault NAME]

A cluster of its own; for each client and fault a trial: the client mirrors pods, is hurt while
pods come and go, calls a few times itself, is healed, and its mirror is compared with the cluster.
In the end the recorded history of requests is judged by the promises of the API, without those that
lists from the past break. What is found there is kubeherd's fault, all else the client's.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from trials.faults import FAULTS, Hurting, World, trial
from trials.mirroring import AsyncioWatch, Client, Kr8s, Kr8sSince, OfficialInformer, OfficialWatch
from trials.operators import operator_trial

from kubeherd.checks import checker, registry
from kubeherd.cluster.launcher import lifecycle
from kubeherd.cluster.launcher.handle import ClusterHandle
from kubeherd.cluster.launcher.settings import ClusterOptions, Recorded
from kubeherd.faults import Clients, Effect, Fault
from kubeherd.history.files import read

SPEED = 10.0
HEALS_WITHIN_S = 15.0
OPERATOR = "operator"
STALE = "stale-lists"
LIES = ("observers-see-revisions-grow", "reads-and-writes-are-linearizable")
"""What lists from the past break: that is what they are for."""
CLIENTS: Mapping[str, Callable[[Path], Client]] = {
    "informer": OfficialInformer,
    "watch": OfficialWatch,
    "asyncio-watch": AsyncioWatch,
    "kr8s-watch": Kr8s,
    "kr8s-since": Kr8sSince,
}


def hurting(handle: ClusterHandle) -> Hurting:
    """Faults through the supervisor, as the command line does it."""

    def begin(effect: Effect, whom: Clients) -> None:
        handle.hurt(Fault(id=effect.kind, target=whom, effect=effect))

    return Hurting(begin, handle.undo)


def judge(handle: ClusterHandle, without: Sequence[str] = ()) -> None:
    """Say which promises the API server has not kept so far, by its own recorded history."""
    makes = [
        one
        for one in registry.of_kind(registry.Kind.SAFETY, registry.Kind.API)
        if one.name not in without
    ]
    verdict = checker.check(read(handle.rundir.history), makes)
    for violation in verdict.violations:
        print(f"BROKEN HERE: {violation.promise}: {violation.text}")
    looked_at = sum(one.looked_at for one in verdict.checked)
    without_words = f", without {' and '.join(without)}" if without else ""
    print(f"The API server: {looked_at} looks at its promises{without_words}", flush=True)


async def run(handle: ClusterHandle, clients: Sequence[str], faults: Sequence[str]) -> None:
    """All trials, those with lists from the past last."""
    kubeconfig = handle.rundir.kubeconfig
    log = handle.rundir.logs / "operator.log"
    world = World(kubeconfig)
    for name in sorted(faults, key=STALE.__eq__):
        if name == STALE:
            judge(handle)
        for client in clients:
            if client == OPERATOR:
                print(await operator_trial(kubeconfig, name, hurting(handle), world, log))
                continue
            made = CLIENTS[client](kubeconfig)
            print(await trial(made, name, hurting(handle), world, HEALS_WITHIN_S), flush=True)
            if isinstance(made, Kr8s):
                print(f"kr8s began watches at {dict(made.watches)}")
    judge(handle, LIES if STALE in faults else ())


def main() -> None:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--client", choices=[*CLIENTS, OPERATOR], action="append")
    parser.add_argument("--fault", choices=FAULTS, action="append")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="kubeherd-clients-") as directory:
        settings = lifecycle.new_settings(ClusterOptions(speed=SPEED), nodes=1)
        settings = msgspec.structs.replace(settings, record=Recorded.REQUESTS)
        with ClusterHandle(Path(directory) / "herd", settings) as handle:
            clients = given.client or [*CLIENTS, OPERATOR]
            asyncio.run(run(handle, clients, given.fault or [*FAULTS]))


if __name__ == "__main__":
    main()
