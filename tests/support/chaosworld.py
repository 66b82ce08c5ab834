"""What experiments on the simulated cluster share: to hurt a process, to repair all, to tell what
came before a failure."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from kubeherd.simulation.cluster import SimulatedCluster

Holds = Callable[[SimulatedCluster], Awaitable[bool]]


async def hurt(cluster: SimulatedCluster, what: str, name: str) -> None:
    """Kill a process, cut it off, or heal the network; anything else does nothing."""
    if what == "kill":
        await cluster.kill(name)
    elif what == "cut":
        cluster.partition(name)
    elif what == "heal":
        cluster.heal()


def repair(
    cluster: SimulatedCluster,
    start: Callable[[SimulatedCluster, str], object] = SimulatedCluster.start,
) -> None:
    """Heal the network and start whatever is not alive."""
    cluster.heal()
    for name, process in list(cluster.processes.items()):
        if not process.alive:
            start(cluster, name)


@contextmanager
def told(seed: int, story: list[str]) -> Iterator[None]:
    """A failure to converge says what was done before."""
    try:
        yield
    except AssertionError as error:
        lines = "\n".join(story)
        raise AssertionError(f"seed {seed} did not converge after:\n{lines}") from error


async def stays(cluster: SimulatedCluster, holds: Holds) -> None:
    """It remains so for two minutes: no pod is replaced without a reason."""
    before = {pod.metadata.uid for pod in await cluster.pods()}
    await cluster.clock.sleep(120)
    assert {pod.metadata.uid for pod in await cluster.pods()} == before
    assert await holds(cluster)
