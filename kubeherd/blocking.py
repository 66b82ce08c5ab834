"""`Cluster`: a cluster for programs and tests that are not asynchronous."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from kubeherd import operations
from kubeherd.cluster.client.kubeconfig import load_kubeconfig
from kubeherd.cluster.client.transport import TransportError
from kubeherd.cluster.launcher.control import Op
from kubeherd.conditions import JsonObject
from kubeherd.facts import ClusterFacts, Names, Processes
from kubeherd.operations import Ask, Objects, Operation, Wanted, resource_of
from kubeherd.waits import TIMEOUT_S, not_ready, ready, rolled_out

if TYPE_CHECKING:
    from kubeherd.facts import Faults
    from kubeherd.faults import Clients, Effect
    from kubeherd.inforce import InForce

T = TypeVar("T")


class Cluster(ClusterFacts):
    """A cluster of real processes on this machine; its calls block.

    Without a `directory` it lies in a temporary one, keeps its objects in memory and leaves nothing
    behind. With one it is durable: started again, it has its nodes and objects back, and the other
    arguments count only for the first time. The object may also stand for a cluster that runs
    already, started by `kubeherd up`: all but `start` works then.

    Args:
        directory: where everything of the cluster lies.
        nodes: how many nodes a new cluster has.
        nodes_per_agent: how many nodes share a process, for hundreds of nodes and more.
        controllers: how many controller managers there are; one leads, the others stand by.
        profile: `bare`, or `kind`: a control-plane node besides the others, and what runs in a
            fresh cluster of kind; `start` waits for that, too.
        store: `sqlite`; `memory`, which is lost when the API server ends; or `etcd`, which is
            started with the cluster, if it is installed.
        apiservers: how many API servers there are, at one address; several need the store `etcd`.
        etcd_endpoints: URLs of an etcd that runs already, and needs no certificate.
        exec: who answers `kubectl exec`: `script`, the pods' annotations, or `local`, processes of
            the user on this machine.
        record: `writes` or `requests` keeps the history of the run (`history`), for checkers and
            pictures.
        port: of the API server; by default a free one.
        speed: by how much every wait of the cluster is shortened.
        seed: of every random decision; by default a random one.
        detached: go on when the program ends (`kubeherd down --dir DIRECTORY` stops it then);
            otherwise a program that ends, even killed, takes its clusters along.

    Timeouts are real seconds. What does not work is a `KubeherdError`.

    >>> import kubeherd
    >>> with kubeherd.Cluster(nodes=2, speed=10) as cluster:
    ...     cluster.node_names
    ...     _ = cluster.kill_node("node-1")
    ...     cluster.wait_not_ready("node-1")
    ['node-0', 'node-1']
    """

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the cluster; returns when all its nodes are Ready.

        LauncherError if it runs already or cannot start; then nothing is left running.
        """
        self._start()

    def stop(self) -> None:
        """Stop all processes, in order; a temporary directory is deleted. Done already: nothing."""
        self._stop()

    # --- nodes and processes ---

    def add_node(self, *names: str, count: int = 0) -> Names:
        """Add nodes of these names, or `count` called node-N; returns their names once Ready."""
        return self._node(Op.NODE_ADD, names, count if not names else 0)

    def kill_node(self, *names: str) -> Names:
        """Cut the power (SIGKILL). Kubernetes notices by and by; the node stays dead.

        Returns the nodes that were touched, as all node calls do: those that share a process with
        the ones named, too. LauncherError for a node that is not there or does not run.
        """
        return self._node(Op.NODE_KILL, names)

    def stop_node(self, *names: str) -> Names:
        """End nodes gracefully; they stay down."""
        return self._node(Op.NODE_STOP, names)

    def start_node(self, *names: str) -> Names:
        """Bring killed or stopped nodes back; returns once they have reported their status."""
        return self._node(Op.NODE_START, names)

    def freeze_node(self, *names: str) -> Names:
        """Let nodes hang (SIGSTOP): they keep everything and do nothing."""
        return self._node(Op.NODE_FREEZE, names)

    def thaw_node(self, *names: str) -> Names:
        """Let frozen nodes go on."""
        return self._node(Op.NODE_THAW, names)

    def remove_node(self, *names: str) -> Names:
        """Stop nodes, forget them, and delete their Node objects."""
        touched = self._node(Op.NODE_REMOVE, names)
        for name in names:
            self._run(operations.delete_if_there(resource_of("nodes"), name, ""))
        return touched

    def crash(self, process: str) -> None:
        """SIGKILL a process behind the supervisor's back; it is started again.

        `process` is `apiserver`, `controller-manager` (`apiserver-2` ...), `etcd`, or the name of
        an agent: that of its node.
        """
        self._handle.crash(process)

    def processes(self) -> Processes:
        """The processes of the cluster, as they are now."""
        return self._processes()

    # --- faults ---

    def fault(
        self,
        effect: "Effect",
        *,
        nodes: str | Sequence[str] = (),
        component: str = "",
        clients: "Clients | None" = None,
        for_s: float = 0.0,
    ) -> "InForce":
        """Begin a fault (`kubeherd.faults.effects`) of nodes, a component or clients.

        It is undone at the end of a `with`, by `undo` of what is returned, or after `for_s` nominal
        seconds. All targets are hurt or, with LauncherError, none. A restart or a reboot is over
        when this returns.
        """
        return self._fault(effect, nodes, component, clients, for_s)

    def faults(self) -> "Faults":
        """The faults that are in force, oldest first; killed and frozen nodes are among them."""
        return self._handle.faults()

    def undo_faults(self, *ids: str) -> "Faults":
        """End these faults, or all; returns them once what they had ended serves again.

        One that is not there is over already.
        """
        return self._handle.undo(*ids)

    # --- objects, as JSON ---

    def apply(self, manifest: JsonObject | str | Path, namespace: str = "default") -> Objects:
        """Create or change objects (server-side apply); returns them as they are then.

        `manifest` is a mapping, a YAML text or the Path of a YAML file; `namespace` is for objects
        that name none.
        """
        return self._run(operations.apply(operations.manifests_of(manifest), namespace))

    def get(self, kind: str, name: str, namespace: str = "default") -> JsonObject:
        """One object; NotFound if there is none. `kind` is `Pod`, `pods` or `daemonsets.apps`."""
        return self._run(operations.get(resource_of(kind), name, namespace))

    def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Objects:
        """The objects of a kind, of all namespaces unless one is named."""
        resource = resource_of(kind)
        return self._run(operations.list_all(resource, namespace, label_selector, field_selector))

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        """Delete one object; NotFound if there is none."""
        self._run(operations.delete(resource_of(kind), name, namespace))

    # --- conditions ---

    def wait_for(
        self,
        kind: str,
        name: str,
        condition: Callable[[JsonObject], bool],
        namespace: str = "default",
        *,
        what: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> JsonObject:
        """Wait until an object exists and `condition(object)` is true; returns it.

        The condition is asked after every change of the object. ConditionTimeout, which begins with
        `what` and ends with what the object was like, after `timeout_s`. The API server may be away
        meanwhile.
        """
        wanted = operations.one(resource_of(kind), name, namespace, condition, what)
        return self._wait(wanted, timeout_s)[0]

    def wait_for_list(
        self,
        kind: str,
        condition: Callable[[Objects], bool],
        namespace: str = "",
        *,
        label_selector: str = "",
        what: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Objects:
        """Wait until `condition(objects)` is true of the objects of a kind; returns them."""
        wanted = operations.every(resource_of(kind), namespace, condition, what, label_selector)
        return self._wait(wanted, timeout_s)

    def wait_gone(
        self, kind: str, name: str, namespace: str = "default", *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Wait until an object does not exist."""
        self._wait(operations.gone(resource_of(kind), name, namespace), timeout_s)

    def wait_ready(self, *nodes: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until these nodes are Ready, by default all."""
        self._wait(ready(nodes or self.node_names), timeout_s)

    def wait_not_ready(self, *nodes: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the Nodes are there and none of these is Ready.

        A dead node goes NotReady after 50 s divided by the speed of the cluster.
        """
        self._wait(not_ready(nodes), timeout_s)

    def wait_rolled_out(
        self, daemonset: str, namespace: str = "default", *, timeout_s: float = TIMEOUT_S
    ) -> JsonObject:
        """Wait until every node runs an available pod of a DaemonSet's newest template."""
        return self._wait(rolled_out(daemonset, namespace), timeout_s)[0]

    def _wait(self, wanted: Wanted, timeout_s: float) -> Objects:
        return self._run(operations.wait(wanted, timeout_s, time.monotonic))

    def _run(self, operation: Operation[T]) -> T:
        """Drive an operation to its end over a connection of its own."""
        # a cluster is up before anybody needs a client
        from kubeherd.cluster.client.http.blocking import BlockingTransport  # noqa: PLC0415

        with BlockingTransport(load_kubeconfig(self.kubeconfig)) as transport:
            try:
                step = next(operation)
                while True:
                    if not isinstance(step, Ask):
                        time.sleep(step.seconds)
                        step = operation.send(None)
                        continue
                    try:
                        answer = transport.request(
                            step.method,
                            step.path,
                            query=step.query,
                            body=step.body,
                            content_type=step.content_type,
                            timeout_s=step.timeout_s,
                        )
                    except TransportError as error:
                        step = operation.throw(error)
                    else:
                        step = operation.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
