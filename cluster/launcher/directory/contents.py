"""What kubeherd makes in a cluster's directory, by name: only that may `down --purge` delete. Pure.

Everything under another name was put there by somebody else and stays. kubeherd makes directories,
files and sockets, never a symbolic link.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from kubeherd.cluster.launcher.settings import APISERVERS, CONTROLLER_MANAGERS, DASHBOARD, ETCD

MARKER = ".kubeherd-directory"
"""The first thing that is written into a directory: from then on it is kubeherd's."""
CLUSTER_JSON = "cluster.json"
LOCK = "run/lock"
LAST = (CLUSTER_JSON, LOCK, MARKER)
"""Paths that go last, in this order: a deletion that was cut short can be finished."""

_STORE = r"store\.db([-.].*)?|\.store\.db[-.].*"
"""The store may put what it likes beside `store.db`, under names that begin with it."""
_HISTORY = r"history(-apiserver-\d|-supervisor)?\.jsonl(\.1)?"
_PAIRS = ("ca", "apiserver", "etcd-ca", "etcd-server", "etcd-client")
"""Certificates with a key beside them."""
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""The manifests that a cluster with the profile kind has."""
_POD_UID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CONTAINER_LOG = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.previous)?\.log"


class Folder(msgspec.Struct, frozen=True):
    """The files and folders that kubeherd makes in one directory.

    Files by name or by a `pattern` of whole names; the keys of `folders` are such patterns.
    """

    names: frozenset[str] = frozenset()
    pattern: str = r"(?!)"
    folders: Mapping[str, "Folder"] = msgspec.field(default_factory=dict)

    def makes_file(self, name: str) -> bool:
        """Whether a file of this name is kubeherd's; so is the temporary one it was written to."""
        temporary = re.fullmatch(r"\.(.+)\.\d+\.tmp", name, re.DOTALL)
        final = temporary[1] if temporary else name
        return final in self.names or re.fullmatch(self.pattern, name, re.DOTALL) is not None

    def folder(self, name: str) -> "Folder | None":
        """What kubeherd makes in the folder of this name; None if the folder is not its own."""
        for pattern, folder in self.folders.items():
            if re.fullmatch(pattern, name):
                return folder
        return None


def layout(agents: Iterable[str] = ()) -> Folder:
    """The directory of a cluster whose nodes and agent processes have or had these names."""
    clients = {*APISERVERS, *CONTROLLER_MANAGERS, *agents}
    identities = {CONTROLLER_MANAGERS[0], "scheduler", "command", *agents}
    processes = {ETCD, DASHBOARD, "spawner", "supervisor", *clients}
    logs_of_pod = Folder(pattern=_CONTAINER_LOG)
    return Folder(
        frozenset((CLUSTER_JSON, "kubeconfig", MARKER)),
        f"{_STORE}|{_HISTORY}",
        {
            r"store\.db-damaged-\d+(\.\d+)?": Folder(pattern=_STORE),
            "etcd": Folder(folders={"member": Folder(folders={"snap|wal": Folder(pattern=".+")})}),
            "pki": Folder(
                frozenset(f"{pair}.{half}" for pair in _PAIRS for half in ("crt", "key"))
                | {"sa.key"}
            ),
            "kubeconfigs": Folder(frozenset(f"{name}.kubeconfig" for name in identities)),
            "manifests": Folder(frozenset(f"{name}.yaml" for name in STATIC_PODS)),
            "run": Folder(
                frozenset(
                    (
                        "state.json",
                        "faults.json",
                        "supervisor.sock",
                        "front.sock",
                        "dashboard.sock",
                        "lock",
                        *(f"{name}.metrics" for name in clients),
                        *(f"{name}.faults" for name in clients),
                    )
                )
            ),
            "logs": Folder(
                frozenset(f"{name}.log" for name in (*processes, "command")),
                r"audit(-apiserver-\d)?\.log(\.\d)?",
                folders={"pods": Folder(folders={_POD_UID: logs_of_pod})},
            ),
        },
    )
