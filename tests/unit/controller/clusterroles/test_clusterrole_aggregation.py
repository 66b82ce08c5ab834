"""The rules of aggregated ClusterRoles follow the roles that they are put together from."""

from typing import Any

from controllerworld import play
from fakeapi import FakeApi

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.helpers.aggregation import aggregated_rules
from kubeherd.controller.clusterroles.controller import ClusterRoleAggregationController

ROLES = kinds.resource("rbac.authorization.k8s.io", "v1", "clusterroles")
PODS = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
NODES = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}


def _role(name: str, *rules: Any, to: str = "", **more: Any) -> dict[str, Any]:
    labels = {f"to-{to}": "true"} if to else {}
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules), **more}


def _from(*names: str) -> dict[str, Any]:
    return {"clusterRoleSelectors": [{"matchLabels": {f"to-{name}": "true"}} for name in names]}


def test_rules_are_those_of_selected_roles_by_name_each_once() -> None:
    role = _role("all", PODS, to="x", aggregationRule=_from("x", "y"))
    others = [_role("c", NODES, to="y"), _role("b", PODS, NODES, to="x"), _role("a", PODS, to="x")]
    assert aggregated_rules(role, [role, *others, _role("d", {"verbs": ["*"]})]) == [PODS, NODES]
    assert aggregated_rules(_role("plain", PODS), others) == []


def test_roles_that_stand_on_each_other_follow() -> None:
    def rules(api: FakeApi, name: str) -> Any:
        found = api.get(ROLES, name)
        assert found is not None
        return found["rules"]

    async def scenario(api: FakeApi) -> None:
        api.put(ROLES, _role("view", NODES, to="edit", aggregationRule=_from("view")))
        api.put(ROLES, _role("edit", aggregationRule=_from("edit")))
        await api.clock.sleep(1)
        assert (rules(api, "view"), rules(api, "edit")) == ([], [])
        api.put(ROLES, _role("mine", PODS, to="view"))
        await api.clock.sleep(1)
        assert (rules(api, "view"), rules(api, "edit")) == ([PODS], [PODS])
        api.remove(ROLES, "mine")
        await api.clock.sleep(1)
        assert (rules(api, "view"), rules(api, "edit")) == ([], [])
        writes = len(api.writes)
        await api.clock.sleep(60)
        assert len(api.writes) == writes

    play(ClusterRoleAggregationController, scenario=scenario)
