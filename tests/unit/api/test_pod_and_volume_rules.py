"""Rules of pods, volumes and nodes that only some objects meet. Texts are those of Kubernetes
1.36's validation."""

from typing import Any

import pytest

from kubeherd.cluster.api import defaults, kinds, validation
from kubeherd.cluster.api.serializer import decoding

QUALIFIED = "name part must consist of alphanumeric characters"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def problems(which: kinds.Resource, spec: dict[str, Any]) -> list[str]:
    tree: dict[str, Any] = {"metadata": {"name": "n"}, "spec": spec}
    if which.namespaced:
        tree["metadata"]["namespace"] = "ns"
    decoding.decode(which, tree)
    defaults.apply(which, tree)
    return [f"{cause.field}: {cause.message}" for cause in validation.create(which, tree)]


def of_pod(**fields: Any) -> list[str]:
    spec = {"containers": [{"name": "c", "image": "i"}], **fields}
    return problems(kinds.PODS, spec)


def with_container(**fields: Any) -> list[str]:
    return of_pod(containers=[{"name": "c", "image": "i", **fields}])


def test_resize_policies() -> None:
    policies = [
        {"resourceName": "a", "restartPolicy": "1"},
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "cpu", "restartPolicy": "RestartContainer"},
    ]
    at = "spec.containers[0].resizePolicy"
    assert with_container(resizePolicy=policies) == [
        f'{at}: Unsupported value: "a": supported values: "cpu", "memory"',
        f'{at}: Unsupported value: "1": supported values: "NotRequired", "RestartContainer"',
        f'{at}[2]: Duplicate value: "cpu"',
    ]
    refused = of_pod(
        restartPolicy="Never",
        containers=[{"name": "c", "image": "i", "resizePolicy": policies[2:]}],
    )
    assert refused == [
        f"{at}: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod "
        "`restartPolicy` is 'Never'"
    ]


def test_the_name_of_a_header_is_told_of_all_headers() -> None:
    action = {"path": "/", "port": 1, "httpHeaders": [{"name": "", "value": "a"}]}
    (text,) = with_container(livenessProbe={"httpGet": action})
    assert text.startswith("spec.containers[0].livenessProbe.httpGet.httpHeaders: Invalid value")


def test_the_key_of_a_spread_constraint_is_any_text() -> None:
    constraint = {"maxSkew": 1, "topologyKey": "100%", "whenUnsatisfiable": "DoNotSchedule"}
    assert of_pod(topologySpreadConstraints=[constraint]) == []
    (text,) = of_pod(topologySpreadConstraints=[{**constraint, "topologyKey": ""}])
    assert text.endswith("topologyKey: Required value: can not be empty")


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ({"matchLabelKeys": ["a"]}, [
            "matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
        ]),
        ({"labelSelector": {}, "matchLabelKeys": ["a b"]}, [
            f'matchLabelKeys[0]: Invalid value: "a b": {QUALIFIED}'
        ]),
        ({"labelSelector": {}, "matchLabelKeys": ["b", "a"], "mismatchLabelKeys": ["a"]}, [
            'matchLabelKeys[1]: Invalid value: "a": exists in both matchLabelKeys and '
            "mismatchLabelKeys"
        ]),
        ({
            "labelSelector": {
                "matchLabels": {"a": "1"}, "matchExpressions": [{"key": "a", "operator": "Exists"}],
            },
            "matchLabelKeys": ["a"],
        }, ['[0]: Invalid value: "a": exists in both matchLabelKeys and labelSelector']),
    ],
)  # fmt: skip
def test_label_keys_of_affinity_terms(term: dict[str, Any], found: list[str]) -> None:
    required = [{"topologyKey": "zone", **term}]
    told = of_pod(
        affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    )
    at = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"
    assert len(told) == len(found)
    for text, end in zip(told, found, strict=True):
        assert text.startswith(at)
        assert end in text


def test_a_preference_may_ask_for_what_no_label_is() -> None:
    term = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}
    preferred = [{"weight": 1, "preference": term}]
    kind = "DuringSchedulingIgnoredDuringExecution"
    assert of_pod(affinity={"nodeAffinity": {f"preferred{kind}": preferred}}) == []
    required = {"nodeSelectorTerms": [term]}
    (text,) = of_pod(affinity={"nodeAffinity": {f"required{kind}": required}})
    assert "values[0]: Invalid value" in text


def stateful_set(claim: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "x"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    return {
        "selector": {"matchLabels": labels},
        "template": template,
        "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": claim}],
    }


def test_claim_templates_are_claims_when_the_set_is_created() -> None:
    sets = kinds.resource("apps", "v1", "statefulsets")
    assert problems(sets, stateful_set(CLAIM)) == []
    at = "spec.volumeClaimTemplates[0].spec"
    assert problems(sets, stateful_set({"resources": {"requests": {"a": "1"}}})) == [
        f"{at}.accessModes: Required value: at least 1 access mode is required",
        f"{at}.resources[storage]: Required value",
    ]
    tree = {
        "metadata": {"name": "n", "namespace": "ns", "resourceVersion": "1"},
        "spec": stateful_set({}),
    }
    defaults.apply(sets, tree)
    assert validation.update(sets, tree, tree) == []  # stored by an older server


def test_inline_volumes() -> None:
    attachments = kinds.resource("storage.k8s.io", "v1", "volumeattachments")

    def told(inline: dict[str, Any]) -> list[str]:
        source = {"inlineVolumeSpec": inline}
        return problems(attachments, {"attacher": "a.b", "nodeName": "n", "source": source})

    at, within = "spec.source.inlineVolumeSpec", "in the context of inline volumes"
    csi = {"driver": "a.b", "volumeHandle": "h"}
    assert told({"csi": csi, "accessModes": ["ReadWriteOnce"]}) == []
    assert told({}) == [
        f"{at}.csi: Required value: has to be specified {within}",
        f"{at}.accessModes: Required value",
        f"{at}: Required value: must specify a volume type",
    ]
    refused = told({
        "csi": {**csi, "driver": ""}, "accessModes": ["x"], "claimRef": {},
        "capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": "Delete",
        "nodeAffinity": {}, "storageClassName": "s", "volumeMode": "Block",
    })  # fmt: skip
    assert [text.removeprefix(at).partition(":")[0] for text in refused] == [
        ".claimRef", ".capacity", ".accessModes", ".persistentVolumeReclaimPolicy",
        ".nodeAffinity", ".csi.driver", ".storageClassName", ".volumeMode",
    ]  # fmt: skip


def test_pod_cidrs_that_do_not_read() -> None:
    texts = problems(kinds.NODES, {"podCIDRs": ["10.0.0.0/24", "10Mi"]})
    assert texts[-2:] == [
        "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with "
        "error:invalid CIDR[1]: <nil> (invalid CIDR address: 10Mi)",
        'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10Mi"]: may specify no more than one CIDR '
        "for each IP family",
    ]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("2024-01-01T00:00:00Z", "Z"),
        ("2024-01-01T00:00:00+02:00", "+02:00"),
        ("2024-01-01T00:00:00.5Z", ".5Z"),
    ],
)
def test_a_micro_time_has_six_digits(text: str, rest: str) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"renewTime": text}}
    with pytest.raises(Exception, match="cannot be handled") as refused:
        decoding.decode(kinds.LEASES, lease)
    assert str(refused.value).endswith(f'cannot parse "{rest}" as ".000000"')
