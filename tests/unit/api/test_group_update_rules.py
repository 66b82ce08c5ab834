"""What may not change in kinds outside the core group, what their status may not say, and rules of
kinds that the recordings do not have. Texts are those of Kubernetes 1.36's validation."""

from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.serializer import decoding

IMMUTABLE = "field is immutable"


def resource(plural: str, group: str, version: str = "v1") -> kinds.Resource:
    return kinds.resource(group, version, plural)


def tree_of(which: kinds.Resource, **fields: Any) -> dict[str, Any]:
    tree = {"metadata": {"name": "n", "resourceVersion": "1", "uid": "u"}, **fields}
    if which.namespaced:
        tree["metadata"]["namespace"] = "ns"
    decoding.decode(which, tree)
    defaults.apply(which, tree)
    return tree


def shown(causes: list[Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in causes]


STORAGE, NETWORK, APPS = "storage.k8s.io", "networking.k8s.io", "apps"
ATTACHMENT = {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}


@pytest.mark.parametrize(
    ("which", "old", "new", "problems"),
    [
        (resource("storageclasses", STORAGE), {"provisioner": "a/b"}, {"provisioner": "a/c"},
         [f'provisioner: Invalid value: "a/c": {IMMUTABLE}']),
        (resource("storageclasses", STORAGE), {"provisioner": "a/b"},
         {"provisioner": "a/b", "reclaimPolicy": "Retain"},
         [f'reclaimPolicy: Invalid value: "Retain": {IMMUTABLE}']),
        (resource("volumeattachments", STORAGE), {"spec": ATTACHMENT},
         {"spec": {**ATTACHMENT, "nodeName": "m"}},
         ['spec: Invalid value: {"Attacher":"a.b","Source":{"PersistentVolumeName":"v",'
          f'"InlineVolumeSpec":null}},"NodeName":"m"}}: {IMMUTABLE}']),
        (resource("csinodes", STORAGE),
         {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}},
         {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "Always"}]}},
         ['spec.drivers: Invalid value: {"Name":"d.example.com","NodeID":"Always",'
          f'"TopologyKeys":null,"Allocatable":null}}: {IMMUTABLE}']),
        (resource("csidrivers", STORAGE), {"spec": {}}, {"spec": {"attachRequired": False}},
         [f"spec.attachedRequired: Invalid value: false: {IMMUTABLE}"]),
        (resource("csistoragecapacities", STORAGE), {"storageClassName": "s"},
         {"storageClassName": "t"}, [f'storageClassName: Invalid value: "t": {IMMUTABLE}']),
        (resource("ingressclasses", NETWORK), {"spec": {"controller": "a.b/c"}},
         {"spec": {"controller": "a.b/d"}},
         [f'spec.controller: Invalid value: "a.b/d": {IMMUTABLE}']),
        (resource("servicecidrs", NETWORK), {"spec": {"cidrs": ["10.0.0.0/24"]}},
         {"spec": {"cidrs": ["10.0.1.0/24"]}},
         [f'spec.cidrs[0]: Invalid value: "10.0.1.0/24": {IMMUTABLE}']),
        (resource("endpointslices", "discovery.k8s.io"), {"addressType": "IPv4"},
         {"addressType": "IPv6"}, [f'addressType: Invalid value: "IPv6": {IMMUTABLE}']),
        (resource("runtimeclasses", "node.k8s.io"), {"handler": "h"}, {"handler": "i"},
         [f'handler: Invalid value: "i": {IMMUTABLE}']),
        (resource("cronjobs", "batch"), {}, {"spec": {"schedule": "TZ=UTC 0 0 * * *"}}, [
            'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in '
            "schedule, use timeZone field instead"]),
    ],
)  # fmt: skip
def test_what_may_not_change(
    which: kinds.Resource, old: dict[str, Any], new: dict[str, Any], problems: list[str]
) -> None:
    if which.plural == "cronjobs":
        pods = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        job = {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": pods}}}}
        old, new = {"spec": job}, {"spec": {**job, **new["spec"]}}
    before, after = tree_of(which, **old), tree_of(which, **new)
    assert shown(validation.update(which, after, before)) == problems
    assert validation.update(which, before, before) == []


@pytest.mark.parametrize(
    ("which", "status", "problems"),
    [
        (kinds.resource(APPS, "v1", "deployments"), {"replicas": 1, "availableReplicas": 2},
         ["status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
          "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]),
        (kinds.resource(APPS, "v1", "statefulsets"), {"replicas": -1},
         ["status.replicas: Invalid value: -1: must be greater than or equal to 0",
          *(f"status.{name}: Invalid value: 0: cannot be greater than status.replicas"
            for name in ("readyReplicas", "currentReplicas", "updatedReplicas",
                         "availableReplicas"))]),
        (kinds.resource(APPS, "v1", "replicasets"), {"replicas": 1, "readyReplicas": 2},
         ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]),
        (resource("jobs", "batch"), {"ready": 2, "active": 1},
         ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
        (resource("ingresses", NETWORK),
         {"loadBalancer": {"ingress": [{"ip": "1.2.3"}, {"hostname": "1.2.3.4"}]}},
         ['status.loadBalancer.ingress[0].ip: Invalid value: "1.2.3": must be a valid IP address, '
          "(e.g. 10.9.8.7 or 2001:db8::ffff)",
          'status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, '
          "not an IP address"]),
    ],
)  # fmt: skip
def test_what_a_status_may_not_say(
    which: kinds.Resource, status: dict[str, Any], problems: list[str]
) -> None:
    old = {"metadata": {"name": "n", "resourceVersion": "1"}}
    new = tree_of(which, status=status)
    new["metadata"] = dict(old["metadata"])
    assert shown(validation.update(which, new, old, "status")) == problems


FLOW = "flowcontrol.apiserver.k8s.io"
LEVEL = {"priorityLevelConfiguration": {"name": "p"}}


@pytest.mark.parametrize(
    ("which", "spec", "problems"),
    [
        (resource("flowschemas", FLOW), {**LEVEL, "matchingPrecedence": 1},
         ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
          "matchingPrecedence 1"]),
        (resource("flowschemas", FLOW), {**LEVEL, "rules": [{}]},
         ["spec.rules[0].subjects: Required value: subjects must contain at least one value",
          "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has "
          "to be non-empty"]),
        (resource("flowschemas", FLOW), {**LEVEL, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "u"}, "group": {"name": "g"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a/*b"]}]}]},
         ["spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not "
          "'Group'",
          'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a/*b": wildcard '
          "can only do suffix matching"]),
        (resource("prioritylevelconfigurations", FLOW), {"type": "Limited"},
         ["spec.limited: Required value: must not be empty when type is Limited"]),
        (resource("prioritylevelconfigurations", FLOW),
         {"type": "Limited", "limited": {"limitResponse": {
             "type": "Queue", "queuing": {"queues": 4, "handSize": 5}}}},
         ["spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater "
          "than queues (4)"]),
        (resource("resourceclaims", "resource.k8s.io"), {"devices": {"requests": [{"name": "r"}]}},
         ["spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` "
          "is required"]),
        (resource("resourceclaims", "resource.k8s.io"),
         {"devices": {"requests": [{"name": "r", "exactly": {
             "deviceClassName": "c", "allocationMode": "All", "count": 2}}]}},
         ["spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when "
          "allocationMode is 'All'"]),
        (resource("resourceslices", "resource.k8s.io"),
         {"driver": "d", "pool": {"name": "p", "resourceSliceCount": 1}},
         ["spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
          "`perDeviceNodeSelection` is required"]),
        (resource("apiservices", "apiregistration.k8s.io"),
         {"group": "g.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1},
         ['metadata.name: Invalid value: "n": must be `spec.version+"."+spec.group`: '
          '"v1.g.example"']),
        (resource("validatingwebhookconfigurations", "admissionregistration.k8s.io"), {}, []),
    ],
)  # fmt: skip
def test_what_is_refused_of_kinds_without_recordings(
    which: kinds.Resource, spec: dict[str, Any], problems: list[str]
) -> None:
    tree = tree_of(which, **({"spec": spec} if spec else {}))
    assert shown(validation.create(which, tree)) == problems


def test_a_webhook_is_judged_by_its_client_rules_and_versions() -> None:
    which = resource("validatingwebhookconfigurations", "admissionregistration.k8s.io")
    webhook = {
        "name": "short",
        "clientConfig": {"url": "http://u@h/p?q#f"},
        "rules": [{"operations": ["*", "CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                   "resources": ["*/*", "pods"]}],
        "sideEffects": "Some",
        "admissionReviewVersions": ["v9"],
        "timeoutSeconds": 31,
    }  # fmt: skip
    problems = shown(validation.create(which, tree_of(which, webhooks=[webhook, webhook])))
    of_the_first = [text for text in problems if text.startswith("webhooks[0]")]
    assert [text.removeprefix("webhooks[0].") for text in of_the_first] == [
        'name: Invalid value: "short": should be a domain with at least three segments separated '
        "by dots",
        'rules[0].operations: Invalid value: ["*","CREATE"]: '
        "if '*' is present, must not specify other operations",
        'rules[0].resources: Invalid value: ["*/*","pods"]: '
        "if '*/*' is present, must not specify other resources",
        'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        'clientConfig.url: Invalid value: "http": '
        "'https' is the only allowed URL scheme; desired format: https://host[/path]",
        'clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
        'clientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
        'clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL',
        'admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
    ]
    assert 'webhooks[1].name: Duplicate value: "short"' in problems
