"""Every promise against histories: none is broken in an honest one that speaks of them all.

Each promise has lies, added to that one, which it finds and the others do not."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
import stories
from stories import MANAGER, USER, Story

from kubeherd.checks.checker import Verdict, Watcher, check
from kubeherd.checks.registry import PROMISES, Kind, Unknown, named, of_kind
from kubeherd.faults import Component, Fault, effects
from kubeherd.history import Actor, FaultBegan, FaultEnded, Leads, Speed, Verb, Write


def judged(story: Story, *, settled: bool = False) -> Verdict:
    if settled:
        story.step("settled")
    return check(story.end(), named(*PROMISES))


def test_an_honest_history_keeps_every_promise_and_speaks_of_each():
    story = stories.honest()
    stories.settle(story)
    verdict = judged(story, settled=True)
    assert not verdict.violations
    assert not verdict.unchecked


def test_what_one_transaction_writes_has_one_revision():
    story = stories.honest()
    story.write("services", story.tree("Service", "x"))
    story.revision, story.at = story.revision - 1, story.at - 0.01
    story.write("secrets", story.tree("Secret", "x"))
    assert not check(story.end(), named("revisions-and-generations-grow")).violations


def test_the_registry_names_the_checkers_as_they_name_themselves():
    for name, line in PROMISES.items():
        checker = line.load()
        assert checker.name == name
        assert checker.promise.endswith(".")
        assert checker.source
        assert (line.kind is Kind.API) != bool(checker.resources), name
    assert next(one.name for one in of_kind(Kind.SAFETY)) == next(iter(PROMISES))
    with pytest.raises(Unknown, match="no promise 'x'"):
        named("x")


def test_the_page_has_every_promise_as_its_checker_says_it():
    page = Path(__file__).parents[3] / "docs" / "reference" / "checkers.md"
    rows = [row for row in page.read_text().splitlines() if row.startswith("| `")]
    assert rows == [
        f"| `{name}` | {line.load().promise} | {line.load().source} |"
        for name, line in PROMISES.items()
    ]


def entries(thing: object) -> int:
    """How much is in a checker's memory, however deep."""
    if isinstance(thing, dict):
        return len(thing) + sum(map(entries, thing.values()))
    if isinstance(thing, list | deque | set):
        return len(thing) + sum(map(entries, thing))
    return entries(vars(thing)) if hasattr(thing, "__dict__") else 0


def test_memory_is_bounded_by_what_exists():
    """Pods, Jobs and Services come and go; what is remembered of those has a bound of its own."""
    story, sizes = stories.honest(), []
    checkers = [make() for make in of_kind(Kind.SAFETY, Kind.LIVENESS)]
    told = 0
    for _day in range(4):
        for _ in range(10):
            for chapter in (stories.passing_job, stories.passing_pods, stories.passing_service):
                chapter(story)
            story.wait()
        for checker in checkers:
            for record in story.records[told:]:
                assert not list(checker.see(record))
        told = len(story.records)
        kept = {one.name: entries(vars(one)) for one in checkers}
        for checker in checkers:
            kept[checker.name] -= len(vars(checker).get("_gone", ()))
        sizes.append(kept)
    assert sizes[1] == sizes[2] == sizes[3]


STRANGE: tuple[object, ...] = (None, "x", 3, [], {}, True, "", ["x"], [None], {"a": None}, -1, "x%")


def strange(tree: object, rng: Random, depth: int = 0) -> object:
    """An object in which something is of another type, or missing: other servers have other
    rules for what may be written."""
    if depth > 1 and rng.random() < 0.08:
        return rng.choice(STRANGE)
    if isinstance(tree, dict):
        return {
            key: strange(value, rng, depth + 1)
            for key, value in tree.items()
            if key in ("metadata", "name", "namespace") or rng.random() > 0.02
        }
    if isinstance(tree, list):
        return [strange(value, rng, depth + 1) for value in tree]
    return tree


def test_strange_objects_stop_no_checker():
    story = stories.honest()
    stories.settle(story)
    story.step("settled")
    for seed in range(6):
        rng, watcher = Random(seed), Watcher(named(*PROMISES))
        for record in story.end():
            if not isinstance(record, Write):
                watcher.see(record)
                continue
            other = strange(record.object, rng)
            watcher.see(msgspec.structs.replace(record, object=other))
        watcher.end()


# --- lies: each breaks the promise of its name ---

Lie = Callable[[Story], object]
LIES: list[tuple[str, Lie]] = []


def breaks(promise: str) -> Callable[[Lie], Lie]:
    def add(lie: Lie) -> Lie:
        LIES.append((promise, lie))
        return lie

    return add


@breaks("names-and-uids-never-come-back")
def uid_given_twice(story: Story) -> None:
    tree = story.tree("ConfigMap", "twin")
    tree["metadata"]["uid"] = story.get("configmaps", "a")["metadata"]["uid"]
    story.write("configmaps", tree)


@breaks("names-and-uids-never-come-back")
def uid_of_one_that_is_gone(story: Story) -> None:
    tree = story.write("configmaps", story.tree("ConfigMap", "old"))
    story.delete("configmaps", tree)
    story.write("configmaps", tree)


@breaks("names-and-uids-never-come-back")
def written_after_its_end(story: Story) -> None:
    tree = story.write("configmaps", story.tree("ConfigMap", "old"))
    story.delete("configmaps", tree)
    story.write("configmaps", tree, Verb.UPDATE)


@breaks("names-and-uids-never-come-back")
def created_while_it_exists(story: Story) -> None:
    story.write("configmaps", story.tree("ConfigMap", "b"), Verb.CREATE)


@breaks("revisions-and-generations-grow")
def revision_goes_back(story: Story) -> None:
    story.revision -= 2
    story.write("secrets", story.tree("Secret", "x"))


@breaks("revisions-and-generations-grow")
def revision_comes_again(story: Story) -> None:
    """Later, so it is not the same transaction."""
    story.revision -= 1
    story.write("secrets", story.tree("Secret", "x"))


@breaks("revisions-and-generations-grow")
def one_object_twice_in_a_transaction(story: Story) -> None:
    tree = story.write("secrets", story.tree("Secret", "x"))
    story.revision, story.at = story.revision - 1, story.at - 0.01
    story.write("secrets", tree)


@breaks("revisions-and-generations-grow")
def spec_changes_without_a_generation(story: Story) -> None:
    story.change("daemonsets.apps", story.get("daemonsets.apps", "agent"), spec={"x": 1})


@breaks("revisions-and-generations-grow")
def generation_is_observed_too_early(story: Story) -> None:
    tree = story.get("deployments.apps", "web")
    story.change("deployments.apps", tree, status={"observedGeneration": 9})


@breaks("finalizers-respected")
def gone_in_spite_of_a_finalizer(story: Story) -> None:
    tree = story.tree("ConfigMap", "kept", metadata={"finalizers": ["example.com/keep"]})
    story.delete("configmaps", story.write("configmaps", tree))


@breaks("finalizers-respected")
def comes_back_from_deletion(story: Story) -> None:
    tree = story.tree("ConfigMap", "kept", metadata={"finalizers": ["example.com/keep"]})
    tree = story.write("configmaps", tree)
    story.change("configmaps", tree, metadata={"deletionTimestamp": story.now})
    story.write("configmaps", tree)


@breaks("one-owner-controls")
def two_controllers(story: Story) -> None:
    owners = [
        stories.ref(story.get(resource, name))
        for resource, name in (("statefulsets.apps", "db"), ("daemonsets.apps", "agent"))
    ]
    story.write("configmaps", story.tree("ConfigMap", "x", metadata={"ownerReferences": owners}))


@breaks("immutable-fields-stay")
def pod_moves(story: Story) -> None:
    story.change("pods", story.get("pods", "sum-0"), spec={"nodeName": "n3"})


@breaks("immutable-fields-stay")
def selector_changes(story: Story) -> None:
    tree = story.get("statefulsets.apps", "db")
    story.spec("statefulsets.apps", tree, selector={"matchLabels": {"other": "x"}})


@breaks("namespaces-are-empty-when-they-go")
def namespace_goes_with_its_objects(story: Story) -> None:
    story.delete("namespaces", story.get("namespaces", "default", ""))


@breaks("namespaces-are-empty-when-they-go")
def object_in_no_namespace(story: Story) -> None:
    story.write("configmaps", story.tree("ConfigMap", "x", "shop"))


@breaks("service-addresses-are-given-once")
def address_is_given_twice(story: Story) -> None:
    story.write("services", story.tree("Service", "other", spec={"clusterIP": "10.0.0.1"}))


@breaks("volumes-are-bound-to-one-claim")
def volume_is_bound_twice(story: Story) -> None:
    claim = story.get("persistentvolumeclaims", "data")
    other = story.tree("PersistentVolumeClaim", "other", spec=claim["spec"], status=claim["status"])
    story.write("persistentvolumeclaims", other)


@breaks("only-the-leader-writes")
def deposed_leader_writes(story: Story) -> None:
    lease = story.get("leases.coordination.k8s.io", "kube-controller-manager", "kube-system")
    story.change(
        "leases.coordination.k8s.io", lease, Actor(user=MANAGER.user),
        spec={"holderIdentity": "second", "leaseTransitions": 1},
    )  # fmt: skip
    story.write("configmaps", story.tree("ConfigMap", "x"), actor=MANAGER)


@breaks("ended-pods-stay-ended")
def pod_rises_from_the_dead(story: Story) -> None:
    story.change("pods", story.get("pods", "sum-0"), status={"phase": "Running"})


@breaks("pods-bound-where-they-may-run")
def bound_to_a_node_that_is_not_there(story: Story) -> None:
    pod = story.write("pods", story.tree("Pod", "x", spec={}, status={}))
    story.change("pods", pod, spec={"nodeName": "n9"})


@breaks("pods-bound-where-they-may-run")
def bound_in_spite_of_a_taint(story: Story) -> None:
    story.write(
        "nodes",
        story.tree("Node", "n4", "", spec={"taints": [{"key": "x", "effect": "NoSchedule"}]}),
    )
    story.wait()
    pod = story.write("pods", story.tree("Pod", "x", spec={}, status={}))
    story.change("pods", pod, spec={"nodeName": "n4"})


@breaks("disruption-budgets-respected")
def evicted_without_being_counted(story: Story) -> None:
    stories.evict(story, story.get("pods", "db-0"))


@breaks("disruption-budgets-respected")
def evicted_though_none_is_allowed(story: Story) -> None:
    pods = {"db-0": story.now}
    story.change(
        "poddisruptionbudgets.policy", stories.budget(story), status={"disruptedPods": pods}
    )


@breaks("daemonset-one-pod-per-node")
def second_daemon_pod(story: Story) -> None:
    agent = story.get("daemonsets.apps", "agent")
    stories.daemon_pod(story, agent, "n1", "h2", 2)


@breaks("daemonset-one-pod-per-node")
def daemon_pod_beside_one_that_is_ending(story: Story) -> None:
    story.mark(story.get("pods", "agent-h2-n1-1"))
    stories.daemon_pod(story, story.get("daemonsets.apps", "agent"), "n1", "h2", 2)


def surging(story: Story) -> stories.Tree:
    agent = story.get("daemonsets.apps", "agent")
    limits = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    agent = story.spec("daemonsets.apps", agent, updateStrategy=limits)
    story.wait()
    return agent


@breaks("daemonset-one-pod-per-node")
def two_of_one_revision_under_surge(story: Story) -> None:
    stories.daemon_pod(story, surging(story), "n1", "h2", 2)


@breaks("daemonset-one-pod-per-node")
def third_daemon_pod_under_surge(story: Story) -> None:
    agent = surging(story)
    for hash_ in ("h3", "h4"):
        stories.daemon_pod(story, agent, "n1", hash_)


@breaks("daemonset-budget")
def two_nodes_at_once(story: Story) -> None:
    for node in ("n1", "n2"):
        story.mark(story.get("pods", f"agent-h2-{node}-1"))


@breaks("daemonset-budget")
def available_pod_while_another_node_is_known_to_be_down(story: Story) -> None:
    story.runs(story.get("pods", "agent-h2-n1-1"), ready=False)
    agent = story.get("daemonsets.apps", "agent")
    story.change("daemonsets.apps", agent, status={"numberUnavailable": 1})
    story.wait()
    story.mark(story.get("pods", "agent-h2-n2-1"))


@breaks("daemonset-budget")
def surge_that_does_not_wait(story: Story) -> None:
    agent = surging(story)
    new = stories.daemon_pod(story, agent, "n1", "h3")
    story.runs(new, ready=False)
    story.mark(story.get("pods", "agent-h2-n1-1"))


@breaks("daemonset-budget")
def two_nodes_at_once_as_events_tell(story: Story) -> None:
    """Nobody knows who deleted the pods until the controller's events say so."""
    agent = story.get("daemonsets.apps", "agent")
    for node in ("n1", "n2"):
        story.mark(story.get("pods", f"agent-h2-{node}-1"), None)
        event = story.tree("Event", f"agent.{node}", reason="SuccessfulDelete")
        event["involvedObject"] = {"uid": agent["metadata"]["uid"]}
        event["message"] = f"Deleted pod: agent-h2-{node}-1"
        story.write("events", event, actor=None)


@breaks("daemon-pods-are-not-evicted-for-silence")
def daemon_pod_is_evicted(story: Story) -> None:
    node = story.get("nodes", "n1", "")
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    story.change("nodes", node, spec={"taints": [taint]})
    story.wait()
    pod = story.get("pods", "agent-h2-n1-1")
    mark = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    pod = story.change("pods", pod, status={"conditions": [*pod["status"]["conditions"], mark]})
    story.mark(pod)


@breaks("replicaset-deletes-only-surplus")
def pod_that_is_wanted_is_deleted(story: Story) -> None:
    story.mark(story.get("pods", "web-2-0"))


@breaks("replicaset-makes-only-missing")
def pod_that_nobody_misses(story: Story) -> None:
    story.pod("web-2-9", story.get("replicasets.apps", "web-2"), "n1", labels={"app": "web"})


@breaks("pods-end-where-they-run")
def pod_on_a_silent_node_is_removed(story: Story) -> None:
    story.delete("pods", story.mark(story.get("pods", "db-1")))


@breaks("pods-end-where-they-run")
def pod_on_a_silent_node_is_declared_failed(story: Story) -> None:
    pod = story.get("pods", "db-1")
    story.change("pods", pod, status={"phase": "Failed"})


@breaks("silence-is-waited-for")
def node_is_called_silent_at_once(story: Story) -> None:
    stories.says_ready(story, "n2", "True", Actor(user="system:node:n2"))
    story.wait(10)
    stories.says_ready(story, "n2", "Unknown")


@breaks("silence-is-waited-for")
def node_is_called_silent_by_a_leader_that_never_listened(story: Story) -> None:
    story.wait(60)
    story.records.append(Leads(at=story.at, lease=stories.LEASE, holder="first"))
    story.wait(10)
    stories.says_ready(story, "n2", "Unknown")


@breaks("silence-is-waited-for")
def node_is_called_silent_by_a_server_that_was_away(story: Story) -> None:
    fault = Fault(id="f", target=Component("apiserver"), effect=effects.Crash())
    story.records.append(FaultBegan(at=story.at, fault=fault))
    story.wait(60)
    story.records.append(FaultEnded(at=story.at, id="f"))
    story.wait(10)
    stories.says_ready(story, "n2", "Unknown")


@breaks("deployment-budget")
def more_pods_than_surge(story: Story) -> None:
    web = story.get("deployments.apps", "web")
    stories.replica_set(story, web, "web-3", 2)


@breaks("deployment-budget")
def fewer_available_pods_than_promised(story: Story) -> None:
    tree = story.get("replicasets.apps", "web-2")
    story.spec("replicasets.apps", tree, MANAGER, replicas=2)


@breaks("statefulset-one-pod-per-identity")
def second_pod_of_an_identity(story: Story) -> None:
    db = story.get("statefulsets.apps", "db")
    identity = {"statefulset.kubernetes.io/pod-name": "db-0"}
    stories.stateful_pod(story, db, 1, "other-1", **identity)


@breaks("statefulset-one-pod-per-identity")
def ordinal_that_nobody_wants(story: Story) -> None:
    stories.stateful_pod(story, story.get("statefulsets.apps", "db"), 2)


@breaks("statefulset-in-order")
def pod_before_its_time(story: Story) -> None:
    story.runs(story.get("pods", "db-0"), ready=False)
    story.goes(story.get("pods", "db-1"), USER)
    story.wait()
    stories.stateful_pod(story, story.get("statefulsets.apps", "db"), 1)


@breaks("job-counts-once")
def pod_is_counted_twice(story: Story) -> None:
    story.change("jobs.batch", story.get("jobs.batch", "sum"), status={"failed": 2})


@breaks("job-counts-once")
def count_shrinks(story: Story) -> None:
    story.change("jobs.batch", story.get("jobs.batch", "sum"), status={"failed": 0})


@breaks("job-counts-once")
def complete_too_early(story: Story) -> None:
    job = stories.workload(story, "Job", "early", completions=2)
    story.ends(story.pod("early-0", job, "n1"))
    complete = [{"type": "Complete", "status": "True"}]
    story.change("jobs.batch", job, status={"succeeded": 1, "conditions": complete})


# --- of the API ---


def newest(story: Story, name: str) -> int:
    return int(story.get("configmaps", name)["metadata"]["resourceVersion"])


@breaks("observers-see-revisions-grow")
def old_list_after_a_watch(story: Story) -> None:
    """Of a resource whose writes nobody recorded: else more promises have something to say."""
    story.told("LIST", 50, observer="fay", resource="secrets", objects={})
    story.told("MODIFIED", 60, "x", observer="fay", resource="secrets")
    story.told("LIST", 55, observer="fay", resource="secrets", watch=2, objects={})


@breaks("nothing-acknowledged-is-lost")
def write_is_lost(story: Story) -> None:
    story.request("update", "secrets", "b", revision=story.revision + 1)
    story.write("secrets", story.tree("Secret", "other"))
    story.records.pop()
    story.write("secrets", story.tree("Secret", "third"))


@breaks("nothing-acknowledged-is-lost")
def deletion_is_lost(story: Story) -> None:
    uid = story.get("services", "web")["metadata"]["uid"]
    story.request("delete", "services", "web", uid=uid)


@breaks("nothing-refused-is-visible")
def refused_write_is_there(story: Story) -> None:
    begun = story.at
    tree = story.get("configmaps", "b")
    story.change("configmaps", tree, USER, data={"x": "y"})
    story.request("update", "configmaps", "b", status=409, at=begun)


@breaks("reads-and-writes-are-linearizable")
def old_state_is_read(story: Story) -> None:
    old = newest(story, "a")
    stories.config(story, "a", value="4")
    story.wait()
    story.request("get", "configmaps", "a", revision=old, client="carol")


@breaks("reads-and-writes-are-linearizable")
def state_is_read_that_nobody_wrote(story: Story) -> None:
    story.request("get", "configmaps", "a", revision=newest(story, "a") + 1, client="carol")


@breaks("reads-and-writes-are-linearizable")
def what_is_there_is_not_found(story: Story) -> None:
    story.request("get", "configmaps", "a", status=404, client="carol")


@breaks("reads-and-writes-are-linearizable")
def what_was_deleted_is_read(story: Story) -> None:
    tree, begun = story.get("configmaps", "b"), story.at
    story.delete("configmaps", tree, USER)
    uid, old = tree["metadata"]["uid"], int(tree["metadata"]["resourceVersion"])
    story.request("delete", "configmaps", "b", uid=uid, at=begun)
    story.wait()
    story.request("get", "configmaps", "b", revision=old, client="carol")


@breaks("reads-and-writes-are-linearizable")
def list_leaves_one_out(story: Story) -> None:
    shown = {"default/a": newest(story, "a")}
    story.request("list", "configmaps", revision=story.revision, objects=shown, client="carol")


def both_changed(story: Story) -> tuple[int, int]:
    """Two changes, and fay begins to watch before them."""
    story.told("BEGIN", story.revision, observer="fay")
    stories.config(story, "a", value="5")
    stories.config(story, "b", value="5")
    return newest(story, "a"), newest(story, "b")


def tell(story: Story, *events: tuple[str, int, str]) -> None:
    for type_, revision, name in events:
        story.told(type_, revision, name, observer="fay")


@breaks("watch-ordered")
def events_out_of_order(story: Story) -> None:
    first, second = both_changed(story)
    tell(story, ("MODIFIED", second, "b"), ("MODIFIED", first, "a"))


@breaks("watch-unique")
def event_is_repeated(story: Story) -> None:
    first, second = both_changed(story)
    again = ("MODIFIED", first, "a")
    tell(story, again, again, ("MODIFIED", second, "b"))


@breaks("watch-reliable")
def event_is_left_out(story: Story) -> None:
    first, second = both_changed(story)
    stories.config(story, "a", value="6")
    tell(story, ("MODIFIED", first, "a"), ("MODIFIED", newest(story, "a"), "a"))
    assert first < second < newest(story, "a")


@breaks("watch-reliable")
def watch_falls_silent(story: Story) -> None:
    first, _ = both_changed(story)
    tell(story, ("MODIFIED", first, "a"))


@breaks("watch-resumable")
def watch_begins_too_late(story: Story) -> None:
    _, second = both_changed(story)
    tell(story, ("MODIFIED", second, "b"))


@breaks("watch-bookmarkable")
def bookmark_comes_too_early(story: Story) -> None:
    first, second = both_changed(story)
    tell(story, ("MODIFIED", first, "a"), ("BOOKMARK", second, ""), ("MODIFIED", second, "b"))


@breaks("watch-atomic")
def list_of_two_moments(story: Story) -> None:
    listed = {"default/a": 1, "default/b": newest(story, "b")}
    story.told("LIST", story.revision, observer="fay", objects=listed)


@breaks("watch-typed")
def wrong_type(story: Story) -> None:
    first, second = both_changed(story)
    tell(story, ("ADDED", first, "a"), ("MODIFIED", second, "b"))


# --- in the end ---


@breaks("nodes-recover")
def node_is_not_ready(story: Story) -> None:
    status = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    story.change("nodes", story.get("nodes", "n1", ""), status=status)


@breaks("daemonsets-settle")
def new_node_has_no_pod(story: Story) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    story.write("nodes", story.tree("Node", "n4", "", spec={}, status=ready))


@breaks("daemonsets-settle")
def daemon_pod_is_of_an_old_revision(story: Story) -> None:
    agent = story.get("daemonsets.apps", "agent")
    stories.revision(story, agent, "h3", 3)


@breaks("daemonsets-settle")
def daemonset_is_not_looked_at(story: Story) -> None:
    agent = story.get("daemonsets.apps", "agent")
    story.spec("daemonsets.apps", agent, template={"spec": {"image": "a:3"}})


@breaks("daemonsets-settle")
def daemonset_says_that_a_pod_is_missing(story: Story) -> None:
    agent = story.get("daemonsets.apps", "agent")
    story.change("daemonsets.apps", agent, status={"numberReady": 2})


@breaks("statefulsets-settle")
def statefulset_says_that_a_pod_is_missing(story: Story) -> None:
    db = story.get("statefulsets.apps", "db")
    story.change("statefulsets.apps", db, status={"readyReplicas": 1})


@breaks("replicasets-settle")
def replicaset_says_that_a_pod_is_left(story: Story) -> None:
    tree = story.get("replicasets.apps", "web-1")
    story.change("replicasets.apps", tree, status={"replicas": 1})


@breaks("statefulsets-settle")
def statefulset_is_not_looked_at(story: Story) -> None:
    story.spec("statefulsets.apps", story.get("statefulsets.apps", "db"), serviceName="other")


@breaks("replicasets-settle")
def replicaset_is_not_looked_at(story: Story) -> None:
    story.spec("replicasets.apps", story.get("replicasets.apps", "web-2"), minReadySeconds=0)


@breaks("replicasets-settle")
def replica_is_missing(story: Story) -> None:
    story.goes(story.get("pods", "web-2-0"), USER)


@breaks("deployments-settle")
def status_is_old(story: Story) -> None:
    web = story.get("deployments.apps", "web")
    story.change("deployments.apps", web, status={"availableReplicas": 2})


@breaks("statefulsets-settle")
def ordinal_is_missing(story: Story) -> None:
    story.goes(story.get("pods", "db-1"), USER)


@breaks("jobs-finish")
def job_goes_on(story: Story) -> None:
    stories.workload(story, "Job", "endless", completions=1)


@breaks("what-is-deleted-goes")
def namespace_stays(story: Story) -> None:
    tree = story.write("namespaces", story.tree("Namespace", "shop", ""))
    story.change("namespaces", tree, metadata={"deletionTimestamp": story.now})


@breaks("orphans-are-collected")
def orphan_stays(story: Story) -> None:
    owner = story.write("configmaps", story.tree("ConfigMap", "owner"), actor=None)
    owners = [stories.ref(owner)]
    story.write("secrets", story.tree("Secret", "left", metadata={"ownerReferences": owners}))
    story.delete("configmaps", owner, None)


@breaks("controllers-stop-writing")
def status_is_written_for_ever(story: Story) -> None:
    stories.settle(story)
    web = story.get("deployments.apps", "web")
    story.change("deployments.apps", web, status={"replicas": 3})


@pytest.mark.parametrize(("promise", "lie"), LIES, ids=lambda one: getattr(one, "__name__", one))
def test_a_lie_is_found_by_its_promise_and_by_no_other(promise: str, lie: Lie):
    story = stories.honest()
    lie(story)
    in_the_end = PROMISES[promise].kind is Kind.LIVENESS
    if in_the_end and lie is not status_is_written_for_ever:
        stories.settle(story)
    verdict = judged(story, settled=in_the_end)
    assert {violation.promise for violation in verdict.violations} == {promise}
    assert all(violation.text and violation.at for violation in verdict.violations)


def test_every_promise_has_a_lie():
    assert {promise for promise, _ in LIES} == PROMISES.keys()


def test_the_budget_goes_by_when_the_history_said_ready_not_by_the_clock_of_a_node():
    story = stories.honest()
    long_ago = story.now
    story.wait()
    story.mark(story.get("pods", "agent-h2-n1-1"))
    silent = story.runs(story.get("pods", "agent-h2-n2-1"), ready=False)
    state = {"type": "Ready", "status": "True", "lastTransitionTime": long_ago}
    heard = story.change("pods", silent, status={"phase": "Running", "conditions": [state]})
    at_once = story.copy()
    at_once.mark(heard)  # the controller has not heard yet that it is available again
    assert not judged(at_once).violations
    story.wait()
    story.mark(heard)
    assert [one.promise for one in judged(story).violations] == ["daemonset-budget"]


def test_a_node_that_was_silent_for_long_may_be_called_so_just_after_it_was_heard():
    story = stories.honest()
    story.wait(60)
    stories.says_ready(story, "n2", "True", Actor(user="system:node:n2"))
    later = story.copy()
    stories.says_ready(story, "n2", "Unknown")  # the controller has not seen yet what it said
    assert not judged(story).violations
    later.wait(10)
    stories.says_ready(later, "n2", "Unknown")
    assert [one.promise for one in judged(later).violations] == ["silence-is-waited-for"]


def test_silence_is_over_sooner_in_a_cluster_that_goes_faster_from_some_time_on():
    story = stories.honest()
    stories.says_ready(story, "n2", "True", Actor(user="system:node:n2"))
    same = story.copy()
    story.records.append(Speed(at=story.at, speed=20.0))
    for one in (story, same):
        one.wait(10)
        stories.says_ready(one, "n2", "Unknown")
    assert not judged(story).violations
    assert [one.promise for one in judged(same).violations] == ["silence-is-waited-for"]


def test_a_deployment_may_not_know_yet_of_a_replicaset_that_was_just_made():
    story = stories.honest()
    web = story.get("deployments.apps", "web")
    stories.replica_set(story, web, "web-3", 1)  # nobody was answered
    later = story.copy()
    stories.replica_set(story, web, "web-4", 1)
    assert not judged(story).violations
    later.wait(10)
    stories.replica_set(later, web, "web-4", 1)
    assert [one.promise for one in judged(later).violations] == ["deployment-budget"]
