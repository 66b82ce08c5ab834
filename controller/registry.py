"""Which controllers there are: a name and where its class is, imported when it is wanted.

Names are those of kube-controller-manager where it has the controller. To add one, add a line: the
attribute is called with `controller.manager.Context` and returns a `controller.manager.Controller`.
One that is of no use before some object exists gets a line in `ON_DEMAND` as well.
"""

from collections.abc import Mapping
from importlib import import_module

from kubeherd.controller.manager import Context, Controller, Factory
from kubeherd.controller.ondemand import OnDemand, Wake

_PACKAGE = "kubeherd.controller"

CONTROLLERS: Mapping[str, str] = {
    "daemonset-controller": "daemonset.controller:DaemonSetController",
    "scheduler": "scheduler.controller:Scheduler",
    "node-lifecycle-controller": "nodes.controller:NodeLifecycleController",
    "taint-eviction-controller": "tainteviction.controller:TaintEvictionController",
    "pod-garbage-collector-controller": "podgc.controller:PodGarbageCollector",
    "garbage-collector-controller": "garbage.controller:GarbageCollector",
    "namespace-controller": "namespace.controller:NamespaceController",
    "serviceaccount-controller": "serviceaccount.controller:ServiceAccountController",
    "root-ca-certificate-publisher-controller": ("serviceaccount.rootca:RootCAPublisher"),
    "persistentvolumeclaim-protection-controller": "storageprotection.controller:ClaimProtection",
    "persistentvolume-protection-controller": "storageprotection.controller:VolumeProtection",
    "volumeattributesclass-protection-controller": "storageprotection.controller:ClassProtection",
    "resourcequota-controller": "quota.controller:QuotaController",
    "serviceaccount-token-controller": "serviceaccount.tokens:TokensController",
    "certificatesigningrequest-approving-controller": (
        "certificates.controller:ApprovingController"
    ),
    "certificatesigningrequest-signing-controller": "certificates.controller:SigningController",
    "disruption-controller": "disruption.controller:DisruptionController",
    "clusterrole-aggregation-controller": (
        "clusterroles.controller:ClusterRoleAggregationController"
    ),
}

ON_DEMAND: Mapping[str, Wake] = {}
"""Controllers that most clusters never need, and what makes each: see `ondemand`."""


class UnknownController(ValueError):
    """A name in ``--controllers`` that no controller has."""


def select(wanted: str) -> dict[str, Factory]:
    """The factories for a list such as ``*``, ``*,-scheduler`` or ``daemonset-controller``.

    As kube-controller-manager's flag: ``*`` means all, ``-name`` takes one out. UnknownController
    for a name that does not exist.
    """
    items = [item.strip() for item in wanted.split(",") if item.strip()]
    for name in (item.removeprefix("-") for item in items if item != "*"):
        if name not in CONTROLLERS:
            known = ", ".join(CONTROLLERS)
            raise UnknownController(f'"{name}" is not in the list of known controllers: {known}')
    return {
        name: _factory(name, path)
        for name, path in CONTROLLERS.items()
        if f"-{name}" not in items and (name in items or "*" in items)
    }


def load_all() -> None:
    """Import all controllers that every cluster has, for processes forked from this one."""
    for name, path in CONTROLLERS.items():
        if name not in ON_DEMAND:
            import_module(f"{_PACKAGE}.{path.partition(':')[0]}")


def _factory(name: str, path: str) -> Factory:
    module, _, attribute = path.partition(":")

    def make(context: Context) -> Controller:
        controller: Controller = getattr(import_module(f"{_PACKAGE}.{module}"), attribute)(context)
        return controller

    wake = ON_DEMAND.get(name)
    return make if wake is None else lambda context: OnDemand(context, make, wake)
