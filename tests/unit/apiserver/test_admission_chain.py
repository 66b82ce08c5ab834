"""What the admission chain as a whole promises."""

from typing import cast

import pytest
from apicluster import ADMIN, MANAGER, NODE

from kubeherd.cluster.api import kinds
from kubeherd.cluster.api.kinds import Resource
from kubeherd.cluster.apiserver.access.authn import authenticated
from kubeherd.cluster.apiserver.admission import Admission, AdmissionRequest, Operation
from kubeherd.cluster.apiserver.edge.messages import User
from kubeherd.cluster.apiserver.read.lookup import Lookup

FLEET = authenticated("fleet-1", ["kubeherd:fleet-agents"])
NOTHING_TO_LOOK_INTO = cast("Lookup", object())


@pytest.mark.parametrize("user", [ADMIN, MANAGER, NODE, FLEET], ids=lambda user: user.name)
@pytest.mark.parametrize("operation", Operation)
def test_nobody_refuses_or_changes_what_nobody_looks_at(operation: Operation, user: User):
    """No object is shown to them, nor any other."""
    admission = Admission(NOTHING_TO_LOOK_INTO)
    parts = [("", resource) for resource in kinds.ALL] + [("status", kinds.PODS)]
    for part, resource in parts:
        if not admission.looks_at(operation, resource, user, part):
            request = AdmissionRequest(operation, resource, "default", "one", user, part)
            admission.mutate(request)
            admission.validate(request)
            assert request.new is None


@pytest.mark.parametrize(("user", "looked_at"), [(ADMIN, False), (NODE, True), (FLEET, True)])
def test_only_what_kubelets_say_of_pods_is_looked_at(user: User, looked_at: bool):
    admission = Admission(NOTHING_TO_LOOK_INTO)
    assert admission.looks_at(Operation.UPDATE, kinds.PODS, user, "status") is looked_at


@pytest.mark.parametrize(
    ("resource", "user", "looked_at"),
    [(kinds.LEASES, ADMIN, False), (kinds.LEASES, NODE, True), (kinds.PODS, ADMIN, True)],
)
def test_most_updates_of_leases_are_looked_at_by_nobody(
    resource: Resource, user: User, looked_at: bool
):
    admission = Admission(NOTHING_TO_LOOK_INTO)
    assert admission.looks_at(Operation.UPDATE, resource, user) is looked_at
