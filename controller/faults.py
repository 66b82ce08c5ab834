"""What a controller manager does wrong while it is told to: it acts as a second leader."""

import asyncio
from collections.abc import Sequence

from kubeherd.controller.leader import LeaderElector
from kubeherd.faults import Fault, FaultError, FaultKind


def begin(elector: LeaderElector | None, faults: Sequence[Fault]) -> None:
    """Put these faults in force and undo all others. FaultError, and nothing changes, if one is
    none that a controller manager carries out.
    """
    for fault in faults:
        if fault.kind is not FaultKind.TWO_LEADERS:
            raise FaultError(f"a controller manager does not carry out {fault}")
        if elector is None:
            raise FaultError(f"{fault.kind}: this controller manager acts without a lease")
    if elector is None:
        return
    if not faults and elector.defiance is not None:
        elector.defiance.set()
        elector.defiance = None
    elif faults and elector.defiance is None:
        elector.defiance = asyncio.Event()
