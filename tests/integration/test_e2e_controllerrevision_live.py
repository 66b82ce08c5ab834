"""Our version of upstream's e2e spec of ControllerRevisions, against real processes."""

import pytest
from e2e_framework import (
    HASH,
    NAME,
    NAME_LABEL,
    STRATEGIC,
    Framework,
    eventually,
    new_daemonset,
    patching,
)
from kubernetes_asyncio import client

pytestmark = pytest.mark.integration

SELECTOR = f"{NAME_LABEL}={NAME}"


async def revisions(f: Framework) -> list[client.V1ControllerRevision]:
    listed = await f.apps.list_namespaced_controller_revision(f.ns, label_selector=SELECTOR)
    return list(listed.items)


async def until_there_are(f: Framework, count: int) -> None:
    async def right() -> bool:
        return len(await revisions(f)) == count

    await eventually(right, f"{count} revisions")


async def test_manage_the_lifecycle_of_a_controller_revision(f: Framework) -> None:
    daemonset = await f.apps.create_namespaced_daemon_set(f.ns, new_daemonset(labelled=True))
    await f.until_running(daemonset)
    await f.check_status()
    daemonset = await f.apps.read_namespaced_daemon_set(NAME, f.ns)
    listed = await f.apps.list_controller_revision_for_all_namespaces(label_selector=SELECTOR)
    assert len(listed.items) == 1
    owner = listed.items[0].metadata.owner_references[0]
    assert (owner.kind, owner.uid) == ("DaemonSet", daemonset.metadata.uid)
    initial = await f.apps.read_namespaced_controller_revision(listed.items[0].metadata.name, f.ns)
    pods_before = {p.metadata.uid for p in await f.pods_of(daemonset)}

    patched = await patching(f.apps.patch_namespaced_controller_revision, STRATEGIC)(
        initial.metadata.name, f.ns, {"metadata": {"labels": {initial.metadata.name: "patched"}}}
    )
    assert patched.metadata.labels[initial.metadata.name] == "patched"

    # A second revision with the data of the first, under a name that the controller would not use.
    labels = {**daemonset.spec.template.metadata.labels, HASH: "7b8c6d5f4"}
    second = await f.apps.create_namespaced_controller_revision(
        f.ns,
        client.V1ControllerRevision(
            metadata=client.V1ObjectMeta(
                name=f"{NAME}-7b8c6d5f4",
                namespace=f.ns,
                labels=labels,
                annotations=daemonset.metadata.annotations,
                owner_references=[
                    client.V1OwnerReference(
                        api_version="apps/v1",
                        kind="DaemonSet",
                        name=NAME,
                        uid=daemonset.metadata.uid,
                        controller=True,
                        block_owner_deletion=True,
                    )
                ],
            ),
            data=initial.data,
            revision=initial.revision + 1,
        ),
    )
    await until_there_are(f, 2)
    await f.apps.delete_namespaced_controller_revision(initial.metadata.name, f.ns)
    await until_there_are(f, 1)
    assert (await revisions(f))[0].metadata.name == second.metadata.name

    live = await f.apps.read_namespaced_controller_revision(second.metadata.name, f.ns)
    live.metadata.labels[second.metadata.name] = "updated"
    updated = await f.apps.replace_namespaced_controller_revision(second.metadata.name, f.ns, live)
    assert updated.metadata.labels[second.metadata.name] == "updated"
    # The only revision has the template's data: nothing was to be rolled out up to here.
    assert {p.metadata.uid for p in await f.pods_of(daemonset)} == pods_before

    await patching(f.apps.patch_namespaced_daemon_set, STRATEGIC)(
        NAME,
        f.ns,
        {
            "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}},
            "updateStrategy": {"type": "RollingUpdate"},  # where upstream has it: ignored there
        },
    )
    await until_there_are(f, 2)
    await f.apps.delete_collection_namespaced_controller_revision(
        f.ns, label_selector=f"{second.metadata.name}=updated"
    )
    await until_there_are(f, 1)
    assert [revision.revision for revision in await revisions(f)] == [3]
