"""The settings of a cluster: what `up` was asked for and what brings the same cluster back.

Kept as `DIR/cluster.json`. Pure: functions return new settings, reading and writing is done by
`cluster.launcher.directory.rundir`. Invariants: node names are unique and keep the order in which
they were added; every node belongs to exactly one agent process; every number is within its limits,
which are the same for the command line, the file and the control socket.
"""

import enum
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from kubeherd.cluster.launcher import addresses
from kubeherd.cluster.launcher.addresses import LOOPBACK
from kubeherd.cluster.launcher.errors import LauncherError

FORMAT_VERSION = 1
MAX_NODES: Final = 10_000
START_TIMEOUT_S: Final = 120.0
NODE_START_TIMEOUT_S: Final = 0.05
"""Real seconds that a start may take at most, without nodes and for each node: several times what
it takes on two cores, for they may be busy."""
MAX_PORT: Final = 65_535
MIN_SPEED: Final = 0.001
MAX_SPEED: Final = 10_000.0
MAX_SEED: Final = 2**63 - 1
_MAX_FORMER: Final = 10_000
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT = 52  # "system:node:NAME" is a certificate's common name: 64 characters (RFC 5280)
CONTROL_PLANE: Final = "control-plane"
"""The control-plane node of a cluster with the profile kind."""
_MAX_CERT_SANS = 64
MAX_CONTROLLERS: Final = 9
CONTROLLER_MANAGERS: Final = (
    "controller-manager",
    *(f"controller-manager-{number}" for number in range(2, MAX_CONTROLLERS + 1)),
)
"""The processes of that kind that a cluster can have; all but one stand by."""
MAX_APISERVERS: Final = 9
APISERVERS: Final = (
    "apiserver",
    *(f"apiserver-{number}" for number in range(2, MAX_APISERVERS + 1)),
)
"""The processes of that kind; all of them serve."""
ETCD: Final = "etcd"
"""The process of a cluster's own etcd."""
DASHBOARD: Final = "dashboard"
"""The process that shows the cluster in a browser."""
_RESERVED_NAMES = frozenset(
    {*APISERVERS, *CONTROLLER_MANAGERS, "scheduler", "supervisor", "spawner", ETCD, DASHBOARD}
)
_ENDPOINT = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}/?")
_MAX_ENDPOINTS = 64
_MAX_PATH = 4096


def start_timeout_s(nodes: int) -> float:
    """How long so many nodes may take to start, with their control plane, in real seconds."""
    return START_TIMEOUT_S + NODE_START_TIMEOUT_S * nodes


class StoreKind(enum.StrEnum):
    """Where the API server keeps its objects."""

    SQLITE = "sqlite"
    MEMORY = "memory"
    ETCD = "etcd"
    """Several API servers can share it."""


class ExecKind(enum.StrEnum):
    """Who answers `kubectl exec`."""

    SCRIPT = "script"
    LOCAL = "local"
    """Commands run as processes of the user who started the cluster."""


class Recorded(enum.StrEnum):
    """What is in the history of a cluster."""

    NOTHING = "nothing"
    WRITES = "writes"
    REQUESTS = "requests"
    """Requests and their answers, too."""


class Profile(enum.StrEnum):
    """What a new cluster has besides its nodes."""

    BARE = "bare"
    KIND = "kind"
    """A control-plane node, and what runs in a fresh cluster of kind."""


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One node and the agent process that runs it."""

    name: str
    agent: str


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What can be chosen of a cluster besides its nodes, its port and its seed; times are nominal
    seconds."""

    nodes_per_agent: Annotated[int, Meta(ge=1, le=MAX_NODES)] = 1
    controllers: Annotated[int, Meta(ge=1, le=MAX_CONTROLLERS)] = 1
    """How many controller managers there are; one of them acts."""
    profile: Profile = Profile.BARE
    store: StoreKind = StoreKind.SQLITE
    apiservers: Annotated[int, Meta(ge=1, le=MAX_APISERVERS)] = 1
    """How many API servers there are, behind one port; with the store etcd only."""
    etcd_endpoints: Annotated[tuple[str, ...], Meta(max_length=_MAX_ENDPOINTS)] = ()
    """The URLs of an etcd that is somewhere; with none the cluster has an etcd of its own."""
    etcd_cafile: Annotated[str, Meta(max_length=_MAX_PATH)] = ""
    """The authority of the certificates of that etcd."""
    etcd_certfile: Annotated[str, Meta(max_length=_MAX_PATH)] = ""
    """The certificate that the API servers show to it, and its key."""
    etcd_keyfile: Annotated[str, Meta(max_length=_MAX_PATH)] = ""
    exec: ExecKind = ExecKind.SCRIPT
    audit_policy: Annotated[str, Meta(max_length=4096)] = ""
    """The file of the audit policy, which is read when the API server starts; "" for no log."""
    record: Recorded = Recorded.NOTHING
    """What the API server writes to DIR/history.jsonl."""
    dashboard: bool = False
    """Whether a process of the cluster shows it in a browser."""
    listen: str = LOOPBACK
    """The address on which the API server listens."""
    advertise_address: str = ""
    """By which others find it, an address or a DNS name; "": the address on which it listens."""
    cert_sans: Annotated[tuple[str, ...], Meta(max_length=_MAX_CERT_SANS)] = ()
    """More addresses and names for which its certificate is good."""
    speed: Annotated[float, Meta(ge=MIN_SPEED, le=MAX_SPEED)] = 1.0


class Settings(ClusterOptions, frozen=True, kw_only=True):
    """Everything that `up` needs to bring a cluster back.

    `former` names nodes and agent processes that are no more, but whose logs may still be there:
    the newest `_MAX_FORMER` of them.
    """

    format_version: Annotated[int, Meta(ge=1)] = FORMAT_VERSION
    nodes: Annotated[tuple[NodeSettings, ...], Meta(max_length=MAX_NODES)] = ()
    former: Annotated[tuple[str, ...], Meta(max_length=_MAX_FORMER)] = ()
    etcd_port: Annotated[int, Meta(ge=0, le=MAX_PORT)] = 0
    """The port of the cluster's own etcd, on loopback, and that for other members, which it has
    not; chosen with the first start."""
    etcd_peer_port: Annotated[int, Meta(ge=0, le=MAX_PORT)] = 0
    found_address: str = ""
    """What stands in for `advertise_address` where it listens on all: the machine's own, at the
    last start."""
    joined: Annotated[str, Meta(max_length=4096)] = ""
    """The URL of the API server of a cluster that is elsewhere, if the nodes are that one's: then
    there are agents here, and nothing else."""
    port: Annotated[int, Meta(ge=1, le=MAX_PORT)]
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0

    @property
    def server(self) -> str:
        """Where the processes of this machine find the API server."""
        return self.joined or addresses.url(self._host, self.port)

    @property
    def public_server(self) -> str:
        """Where other machines find it, if they can at all."""
        return self.joined or addresses.url(self._public_host, self.port)

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach an API server of this one."""
        return not self.joined and not addresses.is_loopback(self.listen)

    @property
    def certified(self) -> tuple[str, ...]:
        """Addresses and names for which its certificate must be good, besides the usual ones."""
        return tuple(dict.fromkeys((self._host, self._public_host, *self.cert_sans)))

    @property
    def _host(self) -> str:
        return LOOPBACK if addresses.is_wildcard(self.listen) else self.listen

    @property
    def _public_host(self) -> str:
        found = self.found_address if addresses.is_wildcard(self.listen) else ""
        return self.advertise_address or found or self._host

    @property
    def has_fleets(self) -> bool:
        """Whether agent processes have several nodes each, and one identity for all of them; no
        cluster gives a machine that joins such a one."""
        return self.nodes_per_agent > 1 and not self.joined

    @property
    def control_plane(self) -> str:
        """The name of the control-plane node; "" if there is none (any more)."""
        has_one = self.profile is Profile.KIND and CONTROL_PLANE in self.node_names
        return CONTROL_PLANE if has_one else ""

    @property
    def node_names(self) -> list[str]:
        """All node names, in the order in which they were added."""
        return [node.name for node in self.nodes]

    @property
    def api_servers(self) -> tuple[str, ...]:
        """The names of the API servers' processes."""
        return () if self.joined else APISERVERS[: self.apiservers]

    @property
    def has_own_etcd(self) -> bool:
        """Whether an etcd is a process of the cluster."""
        return self.store is StoreKind.ETCD and not self.etcd_endpoints and not self.joined

    @property
    def controller_managers(self) -> tuple[str, ...]:
        """The names of the controller managers' processes."""
        return () if self.joined else CONTROLLER_MANAGERS[: self.controllers]

    def all_names(self) -> set[str]:
        """Names of all nodes and agent processes that there are or were."""
        return {*self.node_names, *(node.agent for node in self.nodes), *self.former}

    def agents(self) -> dict[str, list[str]]:
        """Agent process -> names of its nodes, in order."""
        out: dict[str, list[str]] = {}
        for node in self.nodes:
            out.setdefault(node.agent, []).append(node.name)
        return out

    def agent_of(self, node: str) -> str:
        """The agent process of a node; LauncherError if the cluster has no such node."""
        for entry in self.nodes:
            if entry.name == node:
                return entry.agent
        raise LauncherError(f'the cluster has no node "{node}"')


def check_node_name(name: str) -> None:
    """LauncherError unless `name` is a valid and free-to-use node name (a DNS-1123 subdomain)."""
    if len(name) > _NAME_LIMIT or not _DNS_SUBDOMAIN.fullmatch(name):
        raise LauncherError(
            f'"{name}" is not a node name: use at most {_NAME_LIMIT} lower case letters, '
            'digits, "-" and "."'
        )
    if name in _RESERVED_NAMES:
        raise LauncherError(f'"{name}" is the name of a process of the cluster, not of a node')


def next_names(taken: Sequence[str], count: int) -> list[str]:
    """The first `count` of node-0, node-1, ... that come after every such name in `taken`."""
    used = [int(m.group(1)) for name in taken if (m := re.fullmatch(r"node-(\d+)", name))]
    first = max(used, default=-1) + 1
    return [f"node-{number}" for number in range(first, first + count)]


def add_control_plane(settings: Settings) -> Settings:
    """Settings with the control-plane node, which has a process of its own."""
    node = NodeSettings(name=CONTROL_PLANE, agent=CONTROL_PLANE)
    return msgspec.structs.replace(settings, nodes=(*settings.nodes, node))


def add_nodes(settings: Settings, names: Sequence[str]) -> Settings:
    """Settings with these nodes too, `nodes_per_agent` to a new agent process each.

    With one node per process the process has the node's name, otherwise agent-0, agent-1, ...
    LauncherError if a name is not valid or is there already, or if it gets too many.
    """
    if len(settings.nodes) + len(names) > MAX_NODES:
        raise LauncherError(f"a cluster has at most {MAX_NODES} nodes")
    taken = set(settings.node_names)
    for name in names:
        check_node_name(name)
        if name in taken:
            raise LauncherError(f'node "{name}" exists already')
        taken.add(name)
    per_agent = settings.nodes_per_agent
    added: list[NodeSettings] = []
    if per_agent == 1:
        added = [NodeSettings(name=name, agent=name) for name in names]
    else:
        used = [int(a[6:]) for a in settings.agents() if re.fullmatch(r"agent-\d+", a)]
        first = max(used, default=-1) + 1
        for index, name in enumerate(names):
            added.append(NodeSettings(name=name, agent=f"agent-{first + index // per_agent}"))
    return msgspec.structs.replace(settings, nodes=(*settings.nodes, *added))


def remove_node(settings: Settings, name: str) -> Settings:
    """Settings without this node; LauncherError if it is not there."""
    gone = (settings.agent_of(name), name)
    former = tuple(dict.fromkeys((*settings.former, *gone)))
    return msgspec.structs.replace(
        settings,
        nodes=tuple(node for node in settings.nodes if node.name != name),
        former=former[-_MAX_FORMER:],
    )


def encode(settings: Settings) -> bytes:
    """Indented JSON, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"


def decode(data: bytes) -> Settings:
    """The reverse of `encode`; LauncherError if it is not ours, or from a newer kubeherd.

    What `decode` returns could have been made by this module: somebody may have edited the file.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION:
            raise LauncherError("cluster.json was written by a newer kubeherd")
        settings = msgspec.json.decode(data, type=Settings)
        _check_nodes(settings.nodes)
        _check_addresses(settings)
        _check_store(settings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LauncherError(f"cluster.json is not readable: {error}") from error
    return settings


def check(settings: Settings) -> None:
    """LauncherError if these settings could not be read back: a number is out of its limits."""
    decode(encode(settings))


class _Version(msgspec.Struct, frozen=True):
    format_version: int = FORMAT_VERSION


def _check_nodes(nodes: Iterable[NodeSettings]) -> None:
    names: set[str] = set()
    for node in nodes:
        check_node_name(node.name)
        check_node_name(node.agent)
        if node.name in names:
            raise LauncherError(f'node "{node.name}" is twice in cluster.json')
        names.add(node.name)


def _check_store(settings: Settings) -> None:
    if settings.store is not StoreKind.ETCD:
        if settings.apiservers > 1:
            raise LauncherError(
                f"{settings.apiservers} API servers cannot share the {settings.store} store: "
                "give --store etcd"
            )
        if settings.etcd_endpoints:
            raise LauncherError("endpoints of an etcd are for a cluster with --store etcd")
    named = (settings.etcd_cafile, settings.etcd_certfile, settings.etcd_keyfile)
    if any(named) and not settings.etcd_endpoints:
        raise LauncherError(
            "certificates for an etcd are for one that is given with --etcd-endpoints"
        )
    if bool(settings.etcd_certfile) != bool(settings.etcd_keyfile):
        raise LauncherError("--etcd-certfile and --etcd-keyfile belong together")
    for endpoint in settings.etcd_endpoints:
        if not _ENDPOINT.fullmatch(endpoint):
            raise LauncherError(
                f'"{endpoint}" is no endpoint of an etcd: it must look like https://127.0.0.1:2379'
            )


def _check_addresses(settings: Settings) -> None:
    if settings.listen != LOOPBACK:
        addresses.check_listen(settings.listen)
    for host in (settings.advertise_address, settings.found_address, *settings.cert_sans):
        if host:
            addresses.check_host(host)
