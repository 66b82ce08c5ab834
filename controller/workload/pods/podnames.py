"""Names for new pods, chosen here so that creating a pod twice by accident is impossible.

A create whose answer is lost may or may not have made a pod, and the watch may be long in telling.
Tried again with a name that the server generates, it could make a second pod for its purpose; tried
again with the same name, it is refused. Pure. Invariant: until a create is known to have been
carried out or not, every try for its identity (a node, an index) has the same name. It is known
when its pod is among those that a plan was made of; one that is seen later is what the plan wants.
"""

import itertools
from collections.abc import Callable
from itertools import islice

from kubeherd.cluster.api import names


class PodNames:
    """The names in use for creates of one workload."""

    def __init__(self, choice: Callable[[str], str]) -> None:
        """`choice` picks a character of a string."""
        self._choice = choice
        self._open: dict[str, str] = {}

    def fresh(self, generate_name: str) -> str:
        """A new name, as the server would generate it."""
        return names.generate(generate_name, self._choice)

    def open_name(self, identity: str) -> str:
        """The name of this identity's create that got no clear answer; "" if there is none."""
        return self._open.get(identity, "")

    def identities(self, count: int) -> list[str]:
        """Identities for so many pods that are all alike: those whose creates got no clear answer
        come first, so that what was perhaps made already is what is made now."""
        found = list(islice(self._open, count))
        fresh = (str(number) for number in itertools.count())
        unused = (identity for identity in fresh if identity not in self._open)
        return found + list(islice(unused, count - len(found)))

    def unanswered(self, identity: str, name: str) -> None:
        """Nobody knows whether the pod was made."""
        self._open[identity] = name

    def observed(self, namespace: str, find: Callable[[str, str], object]) -> None:
        """A plan is being made of the pods that `find` gives by namespace and name: what is among
        them was made. To be called in the same turn of the loop as they are looked at."""
        for identity, name in list(self._open.items()):
            if find(namespace, name) is not None:
                del self._open[identity]

    def answered(self, identity: str) -> None:
        """The create of this identity was carried out, or was clearly refused."""
        self._open.pop(identity, None)
