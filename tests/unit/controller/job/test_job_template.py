"""What a pod of a Job looks like: TestPodGenerateNameWithIndex and the templates of v1.36."""

import pytest
from job_world import LABELS, job

from kubeherd.cluster.api.jsontypes import JsonObject
from kubeherd.controller.job.model import NewPod
from kubeherd.controller.job.template import Template, name_prefix

LONG = "hhhhhooooohhhhhooooohhhhhooooohhhhhooooohhhhhooooohhhhh"
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
VARIABLE: JsonObject = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("indexed-job", "indexed-job-1-"),
        (LONG + "ooooohhhhhooooo", LONG + "-1-"),
        (LONG + "oo", LONG + "-1-"),
    ],
)
def test_the_prefix_of_a_name_keeps_the_index(name: str, expected: str) -> None:
    assert name_prefix(name, 1) == expected


def test_a_pod_without_an_index() -> None:
    pod = Template(job()).pod(NewPod())
    metadata = pod["metadata"]
    assert metadata["generateName"] == "job-"
    assert (metadata["labels"], metadata["finalizers"]) == (LABELS, [FINALIZER])
    assert "annotations" not in metadata
    assert "hostname" not in pod["spec"]


def test_a_pod_knows_its_index_and_the_template_stays() -> None:
    own = {"name": "JOB_COMPLETION_INDEX", "value": "mine"}
    spec: JsonObject = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "init"}],
        "containers": [{"name": "a", "env": [{"name": "X"}]}, {"name": "b", "env": [own]}],
    }
    metadata = {"labels": LABELS, "annotations": {"a": "b"}, "finalizers": [FINALIZER, "x"]}
    template: JsonObject = {"metadata": metadata, "spec": spec}
    compiled = Template(job(completion_mode="Indexed", completions=9, template=template))
    pod = compiled.pod(NewPod(7))
    assert pod["metadata"]["generateName"] == "job-7-"
    assert pod["metadata"]["labels"] == {**LABELS, INDEX: "7"}
    assert pod["metadata"]["annotations"] == {"a": "b", INDEX: "7"}
    assert pod["metadata"]["finalizers"] == [FINALIZER, "x"]
    assert pod["spec"]["hostname"] == "job-7"
    assert [c["env"] for c in pod["spec"]["initContainers"]] == [[VARIABLE]]
    assert [c["env"] for c in pod["spec"]["containers"]] == [[{"name": "X"}, VARIABLE], [own]]
    assert spec["initContainers"] == [{"name": "init"}]
    assert compiled.pod(NewPod(8))["metadata"]["annotations"][INDEX] == "8"


def test_failures_of_an_index_are_annotations() -> None:
    compiled = Template(job(completion_mode="Indexed", completions=9))
    count, ignored = (
        f"batch.kubernetes.io/job-index-{kind}-count" for kind in ("failure", "ignored-failure")
    )
    annotations = compiled.pod(NewPod(7, 0))["metadata"]["annotations"]
    assert annotations == {INDEX: "7", count: "0"}
    annotations = compiled.pod(NewPod(7, 2, 1))["metadata"]["annotations"]
    assert annotations == {INDEX: "7", count: "2", ignored: "1"}
