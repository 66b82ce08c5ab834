"""Histories that are made up: an honest one that speaks of every promise; lies are added to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from kubeherd.history import Actor, Began, Ended, Record, Request, Step, Told, Verb, Write

Tree = dict[str, Any]

START_S = 1_800_000_000.0
LEASE = "kube-system/kube-controller-manager"
MANAGER = Actor(user="system:kube-controller-manager", fence=f"{LEASE}/first/0")
USER = Actor(user="alice", user_agent="kubectl")
ACCOUNT = "system:serviceaccount:kube-system:"
COUNTS = ("replicas", "readyReplicas", "availableReplicas")
SETTLING_S = 30.0
"""After this every controller knows all, and every ready pod has been so for long."""


def ref(owner: Tree) -> Tree:
    """A controller's reference to its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


class Story:
    """Records in order; time passes only with `wait`, and a little with every write."""

    def __init__(self) -> None:
        self.at = START_S
        self.revision = 100
        self.records: list[Record] = []
        self.state: dict[tuple[str, str], Tree] = {}
        self._uids = 0
        self.records.append(Began(at=self.at, source="cluster", revision=100))

    def copy(self) -> "Story":
        """Another one that begins with all that this one has told."""
        other = Story()
        other.__dict__.update(self.__dict__)
        other.records, other.state = list(self.records), dict(self.state)
        return other

    @property
    def now(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def wait(self, seconds: float = SETTLING_S) -> None:
        self.at += seconds

    def tree(self, kind: str, name: str, namespace: str = "default", **rest: Any) -> Tree:
        """A new object; `rest` are its other top-level keys, `metadata` in addition."""
        self._uids += 1
        group, _, kind = kind.rpartition("/")
        metadata = {"name": name, "uid": f"uid-{self._uids}", "creationTimestamp": self.now}
        if namespace:
            metadata["namespace"] = namespace
        metadata.update(rest.pop("metadata", {}))
        version = f"{group}/v1" if group else "v1"
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    def write(
        self, resource: str, tree: Tree, verb: Verb | None = None, actor: Actor | None = MANAGER
    ) -> Tree:
        """Create or update an object, or what `verb` says; returns what is stored."""
        self.revision += 1
        self.at += 0.01
        metadata = {**tree["metadata"], "resourceVersion": str(self.revision)}
        tree = {**tree, "metadata": metadata}
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        place = (resource, f"{namespace}/{name}")
        if verb is None:
            verb = Verb.UPDATE if place in self.state else Verb.CREATE
        self.state[place] = tree
        if verb is Verb.DELETE:
            del self.state[place]
        self.records.append(
            Write(
                at=self.at, revision=self.revision, verb=verb, resource=resource,
                namespace=namespace, name=name, uid=metadata["uid"], object=tree, actor=actor,
            )
        )  # fmt: skip
        return tree

    def delete(self, resource: str, tree: Tree, actor: Actor | None = MANAGER) -> None:
        self.write(resource, tree, Verb.DELETE, actor)

    def get(self, resource: str, name: str, namespace: str = "default") -> Tree:
        return self.state[resource, f"{namespace}/{name}"]

    def change(
        self, resource: str, tree: Tree, actor: Actor | None = MANAGER, **parts: Any
    ) -> Tree:
        """Write it with other values: ``status={...}`` in addition to what is there."""
        changed = {
            key: {**tree.get(key, {}), **value} if isinstance(value, dict) else value
            for key, value in parts.items()
        }
        return self.write(resource, {**tree, **changed}, actor=actor)

    def spec(self, resource: str, tree: Tree, actor: Actor | None = USER, **fields: Any) -> Tree:
        """Change fields of the spec, and the generation with it."""
        generation = tree["metadata"].get("generation", 0) + 1
        return self.change(resource, tree, actor, spec=fields, metadata={"generation": generation})

    # --- pods ---

    def pod(
        self,
        name: str,
        owner: Tree | None,
        node: str,
        *,
        ready: bool = True,
        labels: Mapping[str, str] | None = None,
    ) -> Tree:
        """A pod that is created, bound, and running."""
        owners = [ref(owner)] if owner else []
        affinity = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchFields": [
                                {"key": "metadata.name", "operator": "In", "values": [node]}
                            ]
                        }
                    ]
                }
            }
        }
        pod = self.tree(
            "Pod", name, metadata={"ownerReferences": owners, "labels": labels},
            spec={"affinity": affinity}, status={"phase": "Pending"},
        )  # fmt: skip
        pod = self.write("pods", pod)
        pod = self.change("pods", pod, spec={"nodeName": node})
        return self.runs(pod, ready=ready)

    def runs(self, pod: Tree, *, ready: bool = True) -> Tree:
        state = {"type": "Ready", "status": str(ready), "lastTransitionTime": self.now}
        return self.change(
            "pods", pod, Actor(user="system:node:n1"),
            status={"phase": "Running", "conditions": [state]},
        )  # fmt: skip

    def mark(self, pod: Tree, actor: Actor | None = MANAGER) -> Tree:
        """It gets a deletionTimestamp."""
        return self.change("pods", pod, actor, metadata={"deletionTimestamp": self.now})

    def ends(self, pod: Tree, phase: str = "Succeeded") -> Tree:
        return self.change(
            "pods", pod, Actor(user="system:node:n1"), status={"phase": phase, "conditions": []}
        )

    def goes(self, pod: Tree, actor: Actor | None = MANAGER) -> None:
        """Deleted with its grace period."""
        pod = self.mark(pod, actor)
        self.delete("pods", self.ends(pod), Actor(user="system:node:n1"))

    # --- clients ---

    def request(self, verb: str, resource: str, name: str = "", **rest: Any) -> None:
        """One that takes a tenth of a second."""
        begun = rest.pop("at", self.at)
        self.at = max(self.at, begun + 0.1)
        fields = {
            "client": "alice", "actor": USER, "until": begun + 0.1, "namespace": "default",
            "status": 200, **rest,
        }  # fmt: skip
        self.records.append(Request(at=begun, verb=verb, resource=resource, name=name, **fields))

    def told(self, type_: str, revision: int, name: str = "", **rest: Any) -> None:
        fields = {"observer": "eve", "watch": 1, "resource": "configmaps", **rest}
        namespace = "default" if name else ""
        self.records.append(
            Told(
                at=self.at, type=type_, revision=revision, namespace=namespace, name=name, **fields
            )
        )

    def step(self, name: str) -> None:
        self.records.append(Step(at=self.at, name=name))

    def end(self) -> list[Record]:
        self.wait()
        return [*self.records, Ended(at=self.at, revision=self.revision)]


def honest() -> Story:
    """A new one of those that `_honest` tells."""
    return _honest().copy()


@cache
def _honest() -> Story:
    """A cluster in which everything happens that a promise is about, and all of it is right."""
    story = Story()
    for name in ("default", "kube-system"):
        story.write("namespaces", story.tree("Namespace", name, ""))
    lease = story.tree("coordination.k8s.io/Lease", "kube-controller-manager", "kube-system")
    story.write("leases.coordination.k8s.io", {**lease, "spec": {"holderIdentity": "first"}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("n1", "n2", "n3"):
        story.write("nodes", story.tree("Node", name, "", spec={}, status=ready))
    story.wait()
    chapters = (_daemonset, _deployment, _statefulset, _job, _budget, _others, _silence, _clients)
    for chapter in chapters:
        chapter(story)
        story.wait()
    return story


def workload(story: Story, kind: str, name: str, **spec: Any) -> Tree:
    resource = f"{kind.lower()}s.{'batch' if kind == 'Job' else 'apps'}"
    labels = {"app": name}
    tree = story.tree(
        f"{'batch' if kind == 'Job' else 'apps'}/{kind}", name, metadata={"generation": 1},
        spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"image": "a:1"}}, **spec,
        },
        status={"observedGeneration": 1},
    )  # fmt: skip
    return story.write(resource, tree, actor=USER)


def revision(story: Story, owner: Tree, hash_: str, number: int) -> None:
    story.write(
        "controllerrevisions.apps",
        story.tree(
            "apps/ControllerRevision", f"{owner['metadata']['name']}-{hash_}", data={"hash": hash_},
            revision=number,
            metadata={
                "labels": {"controller-revision-hash": hash_}, "ownerReferences": [ref(owner)],
            },
        ),
    )  # fmt: skip


def daemon_pod(story: Story, owner: Tree, node: str, hash_: str, number: int = 1) -> Tree:
    name = f"agent-{hash_}-{node}-{number}"
    labels = {"app": "agent", "controller-revision-hash": hash_}
    return story.pod(name, owner, node, labels=labels)


def _daemonset(story: Story) -> None:
    """All nodes, then a rolling update of all of them, one by one."""
    agent = workload(
        story, "DaemonSet", "agent", updateStrategy={"rollingUpdate": {"maxUnavailable": 1}}
    )
    revision(story, agent, "h1", 1)
    for node in ("n1", "n2", "n3"):
        daemon_pod(story, agent, node, "h1")
    story.wait()
    agent = story.spec(
        "daemonsets.apps", agent, template={"spec": {"image": "a:2"}},
    )  # fmt: skip
    revision(story, agent, "h2", 2)
    for node in ("n1", "n2", "n3"):
        story.goes(story.get("pods", f"agent-h1-{node}-1"))
        daemon_pod(story, agent, node, "h2")
        story.wait(0.5)
    counted = ("desiredNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled")
    status = {"observedGeneration": 2, **dict.fromkeys(counted, 3)}
    agent = story.change("daemonsets.apps", agent, status=status)


def replica_set(story: Story, owner: Tree, name: str, replicas: int) -> Tree:
    tree = story.tree(
        "apps/ReplicaSet", name, metadata={"ownerReferences": [ref(owner)], "generation": 1},
        spec={"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}, status={},
    )  # fmt: skip
    return story.write("replicasets.apps", tree)


def scale(story: Story, name: str, replicas: int) -> None:
    """The controllers' part: the ReplicaSet, its pods, its status."""
    tree = story.get("replicasets.apps", name)
    if tree["spec"]["replicas"] != replicas:
        tree = story.spec("replicasets.apps", tree, MANAGER, replicas=replicas)
    pods = [
        pod
        for (resource, _), pod in story.state.items()
        if resource == "pods" and pod["metadata"]["name"].startswith(f"{name}-")
    ]
    for pod in pods[replicas:]:
        story.goes(pod)
    for number in range(len(pods), replicas):
        story.pod(f"{name}-{number}", tree, f"n{number % 3 + 1}", labels={"app": "web"})
    observed = {"observedGeneration": tree["metadata"]["generation"]}
    story.change("replicasets.apps", tree, status={**dict.fromkeys(COUNTS, replicas), **observed})


def _deployment(story: Story) -> None:
    """Three replicas, and a rolling update with one more and none less."""
    limits = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    web = workload(story, "Deployment", "web", replicas=3, strategy=limits)
    replica_set(story, web, "web-1", 3)
    scale(story, "web-1", 3)
    story.wait()
    replica_set(story, web, "web-2", 1)
    for old, new in ((2, 1), (1, 2), (0, 3)):
        scale(story, "web-2", new)
        story.wait()
        scale(story, "web-1", old)
        story.wait()
    story.change(
        "deployments.apps", web,
        status={"updatedReplicas": 3, **dict.fromkeys(COUNTS, 3)},
    )  # fmt: skip


def _statefulset(story: Story) -> None:
    """Two pods, one of which is deleted and comes back."""
    db = workload(story, "StatefulSet", "db", replicas=2)
    revision(story, db, "s1", 1)
    for number in (0, 1):
        stateful_pod(story, db, number)
    story.wait()
    story.goes(story.get("pods", "db-1"), USER)
    stateful_pod(story, db, 1)
    story.change("statefulsets.apps", db, status=dict.fromkeys(COUNTS, 2))


def stateful_pod(story: Story, owner: Tree, number: int, name: str = "", **labels: str) -> Tree:
    has = {"controller-revision-hash": "s1", "statefulset.kubernetes.io/pod-name": f"db-{number}"}
    return story.pod(name or f"db-{number}", owner, f"n{number + 1}", labels={**has, **labels})


def _job(story: Story) -> None:
    """Two completions, of three pods."""
    sum_ = workload(story, "Job", "sum", completions=2)
    for number, phase in enumerate(("Failed", "Succeeded", "Succeeded")):
        story.ends(story.pod(f"sum-{number}", sum_, "n1"), phase)
    sum_ = story.change("jobs.batch", sum_, status={"failed": 1, "succeeded": 1})
    complete = [{"type": "Complete", "status": "True"}]
    story.change("jobs.batch", sum_, status={"succeeded": 2, "conditions": complete})


def budget(story: Story) -> Tree:
    return story.get("poddisruptionbudgets.policy", "db")


def evict(story: Story, pod: Tree) -> None:
    """What an eviction writes to the pod."""
    mark = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    conditions = [*pod["status"]["conditions"], mark]
    pod = story.change(
        "pods", pod, Actor(user="system:apiserver"), status={"conditions": conditions}
    )
    story.goes(pod, Actor(user="system:apiserver"))


def _budget(story: Story) -> None:
    """A budget that allows one disruption, and an eviction."""
    selector = {"matchLabels": {"statefulset.kubernetes.io/pod-name": "db-0"}}
    tree = story.tree(
        "policy/PodDisruptionBudget", "db", spec={"selector": selector},
        status={"disruptionsAllowed": 1},
    )  # fmt: skip
    tree = story.write("poddisruptionbudgets.policy", tree, actor=USER)
    story.change(
        "poddisruptionbudgets.policy", tree,
        status={"disruptionsAllowed": 0, "disruptedPods": {"db-0": story.now}},
    )  # fmt: skip
    evict(story, story.get("pods", "db-0"))
    stateful_pod(story, story.get("statefulsets.apps", "db"), 0)
    story.change("poddisruptionbudgets.policy", budget(story), status={"disruptedPods": {}})


def _others(story: Story) -> None:
    """A Service, a claim, an object with a finalizer, a namespace that comes and goes."""
    story.write("services", story.tree("Service", "web", spec={"clusterIP": "10.0.0.1"}))
    claim = story.tree(
        "PersistentVolumeClaim", "data", spec={"volumeName": "pv-1"}, status={"phase": "Bound"}
    )
    story.write("persistentvolumeclaims", claim)
    story.write("namespaces", story.tree("Namespace", "shop", ""))
    kept = story.tree("ConfigMap", "kept", "shop", metadata={"finalizers": ["example.com/keep"]})
    kept = story.write("configmaps", kept, actor=USER)
    kept = story.change("configmaps", kept, USER, metadata={"deletionTimestamp": story.now})
    kept = story.change("configmaps", kept, USER, metadata={"finalizers": []})
    story.delete("configmaps", kept)
    story.delete("namespaces", story.get("namespaces", "shop", ""))


def _silence(story: Story) -> None:
    """A node falls silent for long, and comes back."""
    story.wait(60)
    says_ready(story, "n3", "Unknown")
    story.wait()
    says_ready(story, "n3", "True", Actor(user="system:node:n3"))


def says_ready(story: Story, node: str, status: str, actor: Actor | None = MANAGER) -> None:
    """What somebody says of a node."""
    ready = {"type": "Ready", "status": status}
    if actor is not MANAGER:
        ready["lastHeartbeatTime"] = story.now
    story.change("nodes", story.get("nodes", node, ""), actor, status={"conditions": [ready]})


def config(story: Story, name: str, **data: str) -> Tree:
    """A user writes a ConfigMap, and is answered."""
    try:
        tree = {**story.get("configmaps", name), "data": data}
    except KeyError:
        tree = story.tree("ConfigMap", name, data=data)
    begun = story.at
    story.wait(0.02)
    verb = "update" if ("configmaps", f"default/{name}") in story.state else "create"
    tree = story.write("configmaps", tree, actor=USER)
    story.request(verb, "configmaps", name, at=begun, revision=story.revision)
    return tree


def _clients(story: Story) -> None:
    """Two users write, read, list and watch."""
    story.told("BEGIN", story.revision)
    for value in ("1", "2", "3"):
        config(story, "a", value=value)
        story.told("ADDED" if value == "1" else "MODIFIED", story.revision, "a")
        story.request("get", "configmaps", "a", revision=story.revision, client="bob")
    story.wait(0.1)
    story.request("patch", "configmaps", "a", revision=story.revision)  # it changes nothing
    config(story, "b")
    story.told("ADDED", story.revision, "b")
    story.told("BOOKMARK", story.revision)
    story.told("END", 0)
    story.request("update", "configmaps", "a", status=409)
    story.request("get", "configmaps", "c", status=404)
    listed = {"default/a": story.revision - 1, "default/b": story.revision}
    story.request("list", "configmaps", revision=story.revision, objects=listed)


def passing_job(story: Story) -> None:
    """A Job that is done and goes, its pod after it."""
    job = workload(story, "Job", "passing", completions=1)
    pod = story.ends(story.pod("passing-0", job, "n1"))
    complete = [{"type": "Complete", "status": "True"}]
    job = story.change("jobs.batch", job, status={"succeeded": 1, "conditions": complete})
    story.delete("jobs.batch", job, USER)
    story.delete("pods", pod)


def passing_pods(story: Story) -> None:
    """Users delete pods of every workload, which come back."""
    agent = story.get("daemonsets.apps", "agent")
    story.goes(story.get("pods", "agent-h2-n1-1"), USER)
    daemon_pod(story, agent, "n1", "h2")
    story.goes(story.get("pods", "web-2-0"), USER)
    story.pod("web-2-0", story.get("replicasets.apps", "web-2"), "n1", labels={"app": "web"})
    story.goes(story.get("pods", "db-1"), USER)
    stateful_pod(story, story.get("statefulsets.apps", "db"), 1)


def passing_service(story: Story) -> None:
    """A Service with a port of its own, a node, a namespace."""
    ports = [{"nodePort": 30001}]
    service = story.tree("Service", "passing", spec={"clusterIP": "10.0.0.2", "ports": ports})
    story.delete("services", story.write("services", service))
    story.delete("nodes", story.write("nodes", story.tree("Node", "n9", "", spec={}, status={})))
    name = story.tree("Namespace", "passing", "")
    story.delete("namespaces", story.write("namespaces", name))


def settle(story: Story) -> None:
    """All is healed, and nothing more happens."""
    story.wait()
    story.step("heal")
    story.step("quiet")
    story.wait()
