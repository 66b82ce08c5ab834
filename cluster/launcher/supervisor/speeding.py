"""A running cluster goes on at another speed: its processes are started again with it.

A process's waits are made for one speed, and so is what it concludes from the age of a timestamp:
none changes its own. All that obey it end in the order of a stop and begin in the order of a start,
so that no two of them ever count time differently; pods live on, as over any restart. What is
stopped or killed stays so.
"""

from collections.abc import Sequence

from kubeherd.cluster.launcher.errors import LauncherError
from kubeherd.cluster.launcher.plan import Phase, ProcessSpec
from kubeherd.cluster.launcher.settings import Settings, StoreKind
from kubeherd.cluster.launcher.supervisor.herd import Herd


def check(herd: Herd, settings: Settings, specs: Sequence[ProcessSpec]) -> None:
    """LauncherError where a new start would change more than the speed: the store memory is gone
    with its API server, and a frozen process would be one no longer."""
    if settings.store is StoreKind.MEMORY:
        raise LauncherError(
            "with --store memory another speed would lose everything: use `down` and `up --speed`"
        )
    for spec in specs:
        if herd[spec.name].phase is Phase.FROZEN:
            raise LauncherError(f"{spec.name} is frozen: thaw it before the speed is changed")


async def stop(herd: Herd, specs: Sequence[ProcessSpec]) -> Sequence[ProcessSpec]:
    """End these processes, and give each its new spec; returns those that ran."""
    ran = [spec for spec in specs if herd[spec.name].wanted]
    await herd.stop([spec.name for spec in ran])
    for spec in specs:
        herd[spec.name].spec = spec
    return ran
