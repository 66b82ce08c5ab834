"""Acting as somebody else: what the headers mean, and which rights they need."""

from typing import Any

import pytest
from apicluster import ADMIN, BOB, Cluster

from kubeherd.cluster.api import errors
from kubeherd.cluster.apiserver.access import impersonation
from kubeherd.cluster.apiserver.edge.messages import ANONYMOUS, User

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CMS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
AUTHENTICATION = "authentication.k8s.io"
USER = ("impersonate-user", "eve")


async def allow(cluster: Cluster, *rules: dict[str, Any], user: str = "bob") -> None:
    """Let bob, or another user, do this everywhere."""
    group = "rbac.authorization.k8s.io"
    name = {"metadata": {"generateName": "bobs-"}}
    role = await cluster.post(f"{RBAC}/clusterroles", {**name, "rules": list(rules)})
    assert role.status == 201, role.message
    binding = {
        **name,
        "roleRef": {
            "apiGroup": group,
            "kind": "ClusterRole",
            "name": role.tree["metadata"]["name"],
        },
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    }
    assert (await cluster.post(f"{RBAC}/clusterrolebindings", binding)).status == 201


def may(verb: str, resource: str, group: str = "", *names: str) -> dict[str, Any]:
    return {
        "verbs": [verb], "apiGroups": [group], "resources": [resource],
        **({"resourceNames": list(names)} if names else {}),
    }  # fmt: skip


async def whoami(cluster: Cluster, *lines: tuple[str, str], user: Any = BOB) -> Any:
    """The identity as which a request with these header lines runs, or the refusal."""
    answer = await cluster.post(REVIEWS, {}, user=user, lines=lines)
    return answer.tree["status"]["userInfo"] if answer.status == 201 else answer.message


async def test_the_legacy_right_to_be_a_user(cluster: Cluster) -> None:
    await allow(cluster, may("impersonate", "users", "", "eve"))
    assert await whoami(cluster, USER) == {"username": "eve", "groups": ["system:authenticated"]}
    assert "cannot impersonate-on:user-info:create" in await whoami(
        cluster, ("impersonate-user", "mallory")
    )
    for more in (
        ("impersonate-group", "crew"), ("impersonate-uid", "7"), ("impersonate-extra-a", "b"),
    ):  # fmt: skip
        assert "is forbidden" in await whoami(cluster, USER, more)


async def test_each_part_needs_its_right_and_takes_effect(cluster: Cluster) -> None:
    lines = (
        USER,
        ("impersonate-group", "a,b"),
        ("impersonate-group", "c"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-example.com%2fscope", "x"),
        ("impersonate-extra-example.com%2fscope", "y"),
    )
    rights = (
        may("impersonate", "users", "", "eve"),
        may("impersonate", "groups", "", "a,b", "c"),
        may("impersonate", "uids", AUTHENTICATION, "7"),
        may("impersonate", "userextras/example.com/scope", AUTHENTICATION, "x", "y"),
    )
    for right in rights:
        assert "is forbidden" in await whoami(cluster, *lines)
        await allow(cluster, right)
    assert await whoami(cluster, *lines) == {
        "username": "eve",
        "uid": "7",
        "groups": ["a,b", "c", "system:authenticated"],
        "extra": {"example.com/scope": ["x", "y"]},
    }
    more = (*lines, ("impersonate-extra-example.com%2fscope", "z"))
    assert "is forbidden" in await whoami(cluster, *more)


async def test_service_accounts_are_no_users(cluster: Cluster) -> None:
    account = ("impersonate-user", "system:serviceaccount:default:robot")
    await allow(cluster, may("impersonate", "users"))
    assert "is forbidden" in await whoami(cluster, account)
    await allow(cluster, may("impersonate", "serviceaccounts", "", "robot"))
    assert await whoami(cluster, account) == {
        "username": "system:serviceaccount:default:robot",
        "groups": [
            "system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated",
        ],
    }  # fmt: skip
    other = ("impersonate-user", "system:serviceaccount:default:other")
    assert "is forbidden" in await whoami(cluster, other)
    # What only looks like an account is a user.
    for name in ("system:serviceaccount:default", "system:serviceaccount:De:x"):
        assert (await whoami(cluster, ("impersonate-user", name)))["username"] == name


async def test_groups_that_come_of_themselves(cluster: Cluster) -> None:
    async def groups(*lines: tuple[str, str]) -> Any:
        return (await whoami(cluster, *lines, user=ADMIN))["groups"]

    anonymous = ("impersonate-user", ANONYMOUS.name)
    stranger = ("impersonate-group", "system:unauthenticated")
    assert await groups(USER, ("impersonate-group", "system:masters")) == [
        "system:masters", "system:authenticated",
    ]  # fmt: skip
    assert await groups(USER, ("impersonate-group", "system:authenticated")) == [
        "system:authenticated"
    ]
    answer = await cluster.get(CMS, lines=(anonymous,))
    assert 'User "system:anonymous" cannot list' in answer.message
    allowed = await cluster.get("/version", lines=(USER, stranger))
    assert allowed.status == 200
    assert (await cluster.get("/api", lines=(USER, stranger))).status == 403
    assert (await cluster.get("/api", lines=(USER,))).status == 200
    # A kubelet's name brings its group, in the mode for nodes.
    node = ("impersonate-user", "system:node:n1")
    assert (await cluster.get("/api/v1/nodes/n1", lines=(node,))).status == 404
    assert (await cluster.get("/api/v1/nodes/n2", lines=(node,))).status == 403


@pytest.mark.parametrize(
    ("name", "resource", "verb", "mode"),
    [
        ("eve", "users", "impersonate:user-info", "user-info"),
        ("system:node:n1", "nodes", "impersonate:arbitrary-node", "arbitrary-node"),
        ("system:serviceaccount:default:n1", "serviceaccounts", "impersonate:serviceaccount",
         "serviceaccount"),
    ],
)  # fmt: skip
async def test_constrained_modes(
    cluster: Cluster, name: str, resource: str, verb: str, mode: str
) -> None:
    """Two rights: to be this one, and to do just this as one of the kind."""
    line = ("impersonate-user", name)
    called = name.rpartition(":")[2]
    review = may(f"impersonate-on:{mode}:create", "selfsubjectreviews", AUTHENTICATION)
    refused = await whoami(cluster, line)
    assert refused == (
        f'selfsubjectreviews.{AUTHENTICATION} is forbidden: User "bob" cannot '
        f'impersonate-on:{mode}:create resource "selfsubjectreviews" in API group '
        f'"{AUTHENTICATION}" at the cluster scope'
    )
    await allow(cluster, review)
    assert (await whoami(cluster, line)).startswith(
        f'{resource}.{AUTHENTICATION} "{called}" is forbidden: User "bob" cannot {verb} resource '
        f'"{resource}"'
    )
    await allow(cluster, may(verb, resource, AUTHENTICATION, called))
    assert (await whoami(cluster, line))["username"] == name
    # Nothing else, and nobody else.
    assert (await cluster.get(CMS, user=BOB, lines=(line,))).status == 403
    other = ("impersonate-user", name.removesuffix(called) + "other")
    assert "is forbidden" in await whoami(cluster, other)


async def test_limits_of_the_constrained_modes(cluster: Cluster) -> None:
    everything = ("users", "groups", "uids", "userextras", "userextras/*")
    await allow(
        cluster,
        may("impersonate-on:user-info:create", "*", AUTHENTICATION),
        *(may("impersonate:user-info", one, AUTHENTICATION) for one in everything),
        may("impersonate:user-info", "userextras/example.com/a", AUTHENTICATION),
    )
    for bad in (
        ("impersonate-group", ""),
        ("impersonate-group", "system:masters"),
        ("impersonate-extra-", "x"),
        ("impersonate-extra-nodomain", "x"),
        ("impersonate-extra-example.com%2f%41", "x"),
        ("impersonate-extra-example.com%2fa", ""),
    ):
        assert "is not allowed" in await whoami(cluster, USER, bad), bad
    extra = ("impersonate-extra-example.com%2fa", "x")
    assert (await whoami(cluster, USER, extra))["extra"] == {"example.com/a": ["x"]}
    for mode_of_its_own in ("system:node:n1", "system:serviceaccount:a:b"):
        line = ("impersonate-user", mode_of_its_own)
        assert "is forbidden" in await whoami(cluster, line)
        assert "is forbidden" in await whoami(cluster, line, ("impersonate-group", "crew"))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (("impersonate-uid", "7"),
         'Name:"", UID:"7", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        (("impersonate-group", "a"),
         'Name:"", UID:"", Groups:[]string{"a"}, Extra:map[string][]string(nil)'),
        (("impersonate-extra-K", "v"),
         'Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"K":[]string{"v"}}'),
    ],
)  # fmt: skip
async def test_nobody_is_impersonated_without_a_name(
    cluster: Cluster, line: tuple[str, str], shown: str
) -> None:
    for lines in ((line,), (("impersonate-user", ""), line)):
        answer = await cluster.get(CMS, lines=lines)
        assert (answer.status, answer.message) == (
            400,
            f"requested &user.DefaultInfo{{{shown}}} without impersonating a user name",
        )


def test_headers() -> None:
    parse = impersonation.parse
    assert parse([]) is None
    assert parse([("impersonate-user", "")]) is None
    wanted = parse([USER, ("impersonate-user", "mallory"), ("impersonate-uid", "1")])
    assert wanted is not None
    assert (wanted.name, wanted.uid) == ("eve", "1")
    malformed = parse([USER, ("impersonate-extra-a%2fb%zz", "x"), ("impersonate-extra-a%2fb", "y")])
    assert malformed is not None
    assert malformed.extra == {"a%2fb%zz": ["x"], "a/b": ["y"]}
    with pytest.raises(errors.BadRequest):
        parse([("impersonate-user", ""), ("impersonate-group", "")])


async def test_nobody_impersonates_twice(cluster: Cluster) -> None:
    """The rights of the impersonated user count from then on, those of the real one no more."""
    await allow(cluster, may("impersonate", "users", "", "eve"), may("list", "configmaps"))
    assert (await cluster.get(CMS, user=BOB)).status == 200
    answer = await cluster.get(CMS, user=BOB, lines=(USER,))
    assert 'User "eve" cannot list resource "configmaps"' in answer.message
    assert (await cluster.get(CMS, user=ANONYMOUS, lines=(USER,))).status == 403


async def test_an_account_may_be_the_node_on_which_it_runs(cluster: Cluster) -> None:
    """The node is that of the token; the right to be it names none."""
    name = "system:serviceaccount:default:agent"
    own = (("authentication.kubernetes.io/node-name", ("n1",)),)
    agent = User(name, ("system:authenticated",), "uid", own)
    as_own, as_other = (("impersonate-user", f"system:node:{node}") for node in ("n1", "n2"))
    mode = "associated-node"
    assert f"cannot impersonate-on:{mode}:create" in await whoami(cluster, as_own, user=agent)
    review = may(f"impersonate-on:{mode}:create", "selfsubjectreviews", AUTHENTICATION)
    await allow(cluster, review, user=name)
    assert (await whoami(cluster, as_own, user=agent)).startswith(
        f'nodes.{AUTHENTICATION} "*" is forbidden: User "{name}" cannot impersonate:{mode} resource'
    )
    await allow(cluster, may(f"impersonate:{mode}", "nodes", AUTHENTICATION), user=name)
    assert await whoami(cluster, as_own, user=agent) == {
        "username": "system:node:n1", "groups": ["system:nodes", "system:authenticated"],
    }  # fmt: skip
    assert "impersonate-on:arbitrary-node" in await whoami(cluster, as_other, user=agent)
    elsewhere = User(name, ("system:authenticated",), "uid")
    assert "impersonate-on:arbitrary-node" in await whoami(cluster, as_own, user=elsewhere)
    await allow(cluster, review, may(f"impersonate:{mode}", "nodes", AUTHENTICATION))
    bob = User("bob", ("system:authenticated",), "uid", own)
    assert "impersonate-on:arbitrary-node" in await whoami(cluster, as_own, user=bob)
