"""The shell of the Deployment controller: what it writes, what wakes it, what it does on errors.

The table of section 1 is upstream's deployment_controller_test.go.
"""

from controllerworld import Scenario, play
from deployment_world import LABELS, template
from fakeapi import FakeApi, failing_writes

from kubeherd.cluster.api import errors
from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.cluster.api.kinds import DEPLOYMENTS, PODS, REPLICASETS
from kubeherd.controller.deployment.controller import DeploymentController
from kubeherd.controller.workload.gohash import template_hash

NS = "default"
NAME = f"web-{template_hash(template(), None)}"
PATH = REPLICASETS.path(NS, NAME)


def run(scenario: Scenario) -> FakeApi:
    return play(DeploymentController, scenario=scenario)


def tree(name: str = "web", image: str = "web:1", **spec: object) -> JsonObject:
    """A Deployment as a server stores it."""
    return {
        "metadata": {"name": name, "namespace": NS, "generation": 1},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": dict(LABELS)},
            "template": template(image),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "progressDeadlineSeconds": 60,
            **spec,
        },
    }


def there(api: FakeApi, name: str = NAME, count: int = 3) -> None:
    """A ReplicaSet reports that all its pods are available."""
    numbers = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), count)
    status = {**numbers, "observedGeneration": 1, "terminatingReplicas": 0}
    api.edit(REPLICASETS.path(NS, name), lambda found: found.update(status=status))


def replica_set(name: str, owner: JsonObject | None, **metadata: object) -> JsonObject:
    """A ReplicaSet with another template than the Deployment's."""
    references = []
    if owner is not None:
        references.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        )
    return {
        "metadata": {
            "name": name,
            "namespace": NS,
            "labels": dict(LABELS),
            "ownerReferences": references,
            **metadata,
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": dict(LABELS)},
            "template": template("old"),
        },
    }


def condition(api: FakeApi, type_: str) -> JsonObject:
    found: JsonObject = next(
        one
        for one in api.objects[DEPLOYMENTS.path(NS, "web")]["status"]["conditions"]
        if one["type"] == type_
    )
    return found


def said(api: FakeApi) -> list[tuple[str, str]]:
    return [(reason, message) for name, reason, message in api.events() if name == "web"]


def test_a_deployment_gets_its_replica_set_and_one_write_of_its_status() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)

    api = run(scenario)
    (made,) = api.all(REPLICASETS)
    assert made["metadata"]["name"] == NAME
    assert made["spec"]["replicas"] == 3
    stored = api.objects[DEPLOYMENTS.path(NS, "web")]
    assert stored["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert stored["status"]["observedGeneration"] == 1
    assert said(api) == [("ScalingReplicaSet", f"Scaled up replica set {NAME} from 0 to 3")]
    writes = [write for write in api.writes if "events" not in write[1]]
    assert writes == [
        ("POST", REPLICASETS.path(NS)),
        ("PUT", DEPLOYMENTS.path(NS, "web", "status")),
    ]


def test_a_rollout_to_its_end() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree(revisionHistoryLimit=0))
        await api.clock.sleep(1)
        there(api)
        await api.clock.sleep(1)
        assert condition(api, "Progressing")["reason"] == "NewReplicaSetAvailable"
        api.change(DEPLOYMENTS, "web", {"spec": {"template": template("web:2")}}, NS)
        new = f"web-{template_hash(template('web:2'), None)}"
        for _ in range(12):
            await api.clock.sleep(1)
            for found in api.all(REPLICASETS):
                there(api, found["metadata"]["name"], found["spec"]["replicas"])
        await api.clock.sleep(1)
        assert [one["metadata"]["name"] for one in api.all(REPLICASETS)] == [new]

    api = run(scenario)
    texts = [message for reason, message in said(api) if reason == "ScalingReplicaSet"]
    assert f"Scaled down replica set {NAME} from 1 to 0" in texts
    assert api.objects[DEPLOYMENTS.path(NS, "web")]["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "2"
    }


def test_a_rollout_that_stands_still_is_reported_after_its_deadline() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(58)
        assert condition(api, "Progressing")["reason"] == "NewReplicaSetCreated"
        await api.clock.sleep(5)
        late = condition(api, "Progressing")
        assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
        assert late["message"] == f'ReplicaSet "{NAME}" has timed out progressing.'
        writes = len(api.writes)
        await api.clock.sleep(1000)
        assert len(api.writes) == writes

    run(scenario)


def test_a_replica_set_that_cannot_be_made_is_told_and_tried_again() -> None:
    quota = errors.forbidden(REPLICASETS, NAME, "exceeded quota")

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/replicasets", quota)
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)
        failed = condition(api, "Progressing")
        text = f'Failed to create new replica set "{NAME}": {quota}'
        assert (failed["status"], failed["reason"]) == ("False", "ReplicaSetCreateError")
        assert failed["message"] == text
        assert ("ReplicaSetCreateError", text) in said(api)
        api.disturbance = lambda _sent: None
        await api.clock.sleep(60)
        assert api.get(REPLICASETS, NAME, NS) is not None

    run(scenario)


def test_in_a_terminating_namespace_nothing_is_made_and_nothing_is_wrong() -> None:
    refusal = errors.forbidden(REPLICASETS, NAME, "it is being terminated")
    refusal.details = {"causes": [{"reason": "NamespaceTerminating"}]}

    async def scenario(api: FakeApi) -> None:
        api.disturbance = failing_writes("/replicasets", refusal)
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(30)

    api = run(scenario)
    assert said(api) == []
    assert api.count("POST", REPLICASETS.path(NS)) == 1


def test_a_name_that_another_has_is_a_collision() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(REPLICASETS, replica_set(NAME, None, labels={"app": "other"}))
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)

    api = run(scenario)
    assert api.objects[DEPLOYMENTS.path(NS, "web")]["status"]["collisionCount"] == 1
    assert api.get(REPLICASETS, f"web-{template_hash(template(), 1)}", NS) is not None


def test_a_create_whose_answer_was_lost_makes_one_replica_set() -> None:
    async def scenario(api: FakeApi) -> None:
        stored = api.put(DEPLOYMENTS, tree(paused=True))
        await api.clock.sleep(1)
        made = replica_set(NAME, stored)
        made["spec"]["template"] = template()

        def lost(sent: object) -> None:
            if getattr(sent, "method", "") == "POST" and not api.get(REPLICASETS, NAME, NS):
                api.put(REPLICASETS, made)

        api.disturbance = lost
        api.change(DEPLOYMENTS, "web", {"spec": {"paused": False}}, NS)
        await api.clock.sleep(2)

    api = run(scenario)
    assert [one["metadata"]["name"] for one in api.all(REPLICASETS)] == [NAME]
    status = api.objects[DEPLOYMENTS.path(NS, "web")]["status"]
    assert "collisionCount" not in status


def test_orphans_are_adopted_and_strays_are_released() -> None:
    async def scenario(api: FakeApi) -> None:
        stored = api.put(DEPLOYMENTS, tree())
        api.put(REPLICASETS, replica_set("orphan", None))
        api.put(REPLICASETS, replica_set("stray", stored, labels={"app": "other"}))
        await api.clock.sleep(1)
        (owner,) = api.objects[REPLICASETS.path(NS, "orphan")]["metadata"]["ownerReferences"]
        assert owner["uid"] == stored["metadata"]["uid"]
        assert not api.objects[REPLICASETS.path(NS, "stray")]["metadata"].get("ownerReferences")

    run(scenario)


def test_nothing_is_adopted_for_a_deployment_that_is_gone_or_going() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)
        api.change(
            DEPLOYMENTS, "web", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, NS
        )
        api.put(REPLICASETS, replica_set("orphan", None))
        await api.clock.sleep(1)
        assert not api.objects[REPLICASETS.path(NS, "orphan")]["metadata"]["ownerReferences"]

    run(scenario)


def test_the_live_deployment_is_asked_before_an_adoption() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree(paused=True))
        await api.clock.sleep(1)
        gone = errors.not_found(DEPLOYMENTS, "web")

        def unknown(sent: object) -> errors.ApiError | None:
            path, method = getattr(sent, "path", ""), getattr(sent, "method", "")
            return gone if method == "GET" and path == DEPLOYMENTS.path(NS, "web") else None

        api.disturbance = unknown
        api.put(REPLICASETS, replica_set("orphan", None))
        await api.clock.sleep(1)
        assert not api.objects[REPLICASETS.path(NS, "orphan")]["metadata"]["ownerReferences"]

    run(scenario)


def test_a_write_over_a_newer_object_is_tried_again() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)
        left = [errors.conflict(REPLICASETS, NAME, errors.MODIFIED)]

        def once(sent: object) -> errors.ApiError | None:
            patching = getattr(sent, "method", "") == "PATCH"
            return left.pop() if patching and left else None

        api.disturbance = once
        api.change(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, NS)
        await api.clock.sleep(2)
        assert not left
        assert api.objects[PATH]["spec"]["replicas"] == 5
        texts = [message for _, message in said(api)]
        assert texts.count(f"Scaled up replica set {NAME} from 3 to 5") == 1

    run(scenario)


def test_a_rollback_is_carried_out_once() -> None:
    async def scenario(api: FakeApi) -> None:
        stored = api.put(DEPLOYMENTS, tree())
        await api.clock.sleep(1)
        older = replica_set("web-old", stored)
        older["metadata"]["annotations"] = {
            "deployment.kubernetes.io/revision": "7",
            "kubernetes.io/change-cause": "the old one",
        }
        older["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "old"
        api.put(REPLICASETS, older)
        await api.clock.sleep(1)
        order = {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "7"}}}
        api.change(DEPLOYMENTS, "web", order, NS)
        await api.clock.sleep(2)

    api = run(scenario)
    stored = api.objects[DEPLOYMENTS.path(NS, "web")]
    assert stored["spec"]["template"] == template("old")
    noted = stored["metadata"]["annotations"]
    assert noted["kubernetes.io/change-cause"] == "the old one"
    assert "deprecated.deployment.rollback.to" not in noted
    assert ("DeploymentRollback", 'Rolled back deployment "web" to revision 7') in said(api)


def test_a_rollback_to_what_is_not_there_is_only_told() -> None:
    async def scenario(api: FakeApi) -> None:
        given = tree()
        given["metadata"]["annotations"] = {"deprecated.deployment.rollback.to": "9"}
        api.put(DEPLOYMENTS, given)
        await api.clock.sleep(2)

    api = run(scenario)
    noted = api.objects[DEPLOYMENTS.path(NS, "web")]["metadata"]["annotations"]
    assert noted == {"deployment.kubernetes.io/revision": "1"}
    text = "Unable to find the revision to rollback to."
    assert said(api).count(("DeploymentRollbackRevisionNotFound", text)) == 1


def test_selecting_everything_is_told() -> None:
    async def scenario(api: FakeApi) -> None:
        api.put(DEPLOYMENTS, tree(selector={}))
        await api.clock.sleep(1)

    api = run(scenario)
    assert [reason for reason, _ in said(api)][:1] == ["SelectingAll"]
    assert api.objects[DEPLOYMENTS.path(NS, "web")]["status"] == {"observedGeneration": 1}
    assert api.all(REPLICASETS) == []


def test_recreate_goes_on_when_the_last_old_pod_is_gone() -> None:
    async def scenario(api: FakeApi) -> None:
        stored = api.put(DEPLOYMENTS, tree(strategy={"type": "Recreate"}))
        old = api.put(REPLICASETS, replica_set("web-old", stored))
        reference = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "web-old",
            "uid": old["metadata"]["uid"],
            "controller": True,
        }
        for name in ("a", "b"):
            metadata = {"name": name, "namespace": NS, "ownerReferences": [reference]}
            api.put(PODS, {"metadata": metadata, "status": {"phase": "Running"}})
        await api.clock.sleep(1)
        assert api.get(REPLICASETS, NAME, NS) is None
        api.remove(PODS, "a", NS)
        await api.clock.sleep(1)
        assert api.get(REPLICASETS, NAME, NS) is None
        api.remove(PODS, "b", NS)
        await api.clock.sleep(1)
        assert api.get(REPLICASETS, NAME, NS) is not None

    run(scenario)
