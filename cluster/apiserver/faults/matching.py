"""Which faults strike a request: by who sends it, what it asks for, and chance. Pure.

A node is the user ``system:node:NAME``. A component is the user ``system:NAME`` or
``system:kube-NAME``; of several controller managers the second says ``controller-manager-2`` as a
word of its User-Agent, and a controller that acts as its own account, or the scheduler in one of
them, the name of its process.
``apiserver`` is everybody. The client of an experiment (`CHAOS_AGENT`) is hurt only by a fault that
names its User-Agent.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from kubeherd.faults import Clients, Fault, Nodes, Target, effects
from kubeherd.faults.effects import RequestEffect
from kubeherd.faults.targets import ADMIN_USER, CHAOS_AGENT, COMMAND, COMMAND_USER

_NODE = "system:node:"
_ACCOUNT = "system:serviceaccount:kube-system:"
_SCHEDULER = "system:kube-scheduler"
_NUMBERED = re.compile(r"-\d+$")


Hits: TypeAlias = dict[type[RequestEffect], list[Fault]]
"""The faults that hit one request, by what they do."""


class Who(msgspec.Struct, frozen=True):
    """The sender of a request."""

    user: str
    user_agent: str = ""
    certificate: str = ""

    @property
    def spared(self) -> bool:
        """Whether it is the client of an experiment, who must see what happens."""
        return self.user == ADMIN_USER and self.user_agent.startswith(CHAOS_AGENT)


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for, in the words of RBAC; `resource` is empty for other paths, else
    ``daemonsets.apps`` or ``daemonsets.apps/status``."""

    verb: str
    resource: str = ""


def hurts(target: Target) -> Callable[[Who], bool]:
    """Whether a sender is one of those whom a fault with this target hurts."""
    if isinstance(target, Clients):
        named = target.user_agent.startswith(CHAOS_AGENT)
        return lambda who: (
            (named or not who.spared)
            and target.match(user=who.user, user_agent=who.user_agent, certificate=who.certificate)
        )
    if isinstance(target, Nodes):
        users = frozenset(_NODE + name for name in target.names)
        return lambda who: who.user in users
    return lambda who: not who.spared and _is_component(target.name, who)


def _is_component(name: str, who: Who) -> bool:
    if name == "apiserver":
        return True
    if name == COMMAND:
        return who.user == COMMAND_USER
    first = _NUMBERED.sub("", name)
    if who.user not in (f"system:kube-{first}", f"system:{first}"):
        inside = who.user.startswith(_ACCOUNT) or who.user == _SCHEDULER
        return inside and _says(name, who.user_agent)
    if name != first:
        return _says(name, who.user_agent)
    return re.search(rf"(?<![\w-]){re.escape(first)}-\d", who.user_agent) is None


def _says(name: str, user_agent: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", user_agent) is not None


def strikes(effect: RequestEffect, asked: Asked, chance: Callable[[], float]) -> bool:
    """Whether a fault of single requests hits this one; `chance` is asked only if it matters."""
    if effect.verbs and asked.verb not in effect.verbs:
        return False
    if effect.resources and not any(_covers(name, asked.resource) for name in effect.resources):
        return False
    return effect.probability >= 1 or chance() < effect.probability


def _covers(name: str, resource: str) -> bool:
    """As RBAC: a subresource is named itself. Without a group a name stands for any."""
    wanted, _, wanted_part = name.partition("/")
    plural, _, part = resource.partition("/")
    if wanted not in ("*", plural, plural.partition(".")[0]) or not resource:
        return False
    return name == "*" or wanted_part in (part, "*")


def struck(faults: Sequence[Fault], asked: Asked, chance: Callable[[Fault], float]) -> Hits:
    """Those of the faults of single requests that hit this one, by what they do; `chance` of a
    fault is asked only if it matters."""
    found: Hits = {}
    for fault in faults:
        effect = fault.effect
        if isinstance(effect, effects.REQUEST_EFFECTS) and strikes(
            effect, asked, partial(chance, fault)
        ):
            found.setdefault(type(effect), []).append(fault)
    return found
