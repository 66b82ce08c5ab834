"""A DaemonSet whose ServiceAccount does not exist has no pods and says why, until it exists."""

from kubeherd.cluster.api.kinds import DAEMONSETS, SERVICEACCOUNTS
from kubeherd.simulation.cluster import daemonset_tree, simulated
from kubeherd.simulation.virtualtime import virtual


@virtual
async def test_a_daemonset_without_its_account() -> None:
    async with simulated(nodes=2) as cluster:
        tree = daemonset_tree("agent")
        tree["spec"]["template"]["spec"]["serviceAccountName"] = "agent"
        await cluster.admin.create(DAEMONSETS, tree, "default")

        async def failed() -> bool:
            return bool(await cluster.events("FailedCreate"))

        await cluster.until(failed, within_s=60)
        message = (await cluster.events("FailedCreate"))[0]["message"]
        assert message.startswith('Error creating: pods "agent-')
        assert message.endswith(
            '" is forbidden: error looking up service account default/agent: '
            'serviceaccount "agent" not found'
        )
        assert await cluster.pods() == []
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}}
        await cluster.admin.create(SERVICEACCOUNTS, account, "default")
        await cluster.until_rolled_out("agent")
        assert len(await cluster.pods()) == 2
