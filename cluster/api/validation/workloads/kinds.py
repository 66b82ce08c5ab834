"""The kinds that this room has rules for."""

from collections.abc import Mapping

from kubeherd.cluster.api.validation.rules import Rules
from kubeherd.cluster.api.validation.workloads import (
    autoscaling,
    batch,
    daemonset,
    replicationcontroller,
    workloads,
    workloadstatus,
)

RULES: Mapping[str, Rules] = {
    **autoscaling.RULES,
    **batch.RULES,
    "replicationcontrollers": Rules(
        replicationcontroller.create_replication_controller,
        None,
        {"status": replicationcontroller.update_replication_controller_status},
    ),
    "podtemplates": Rules(workloads.create_pod_template),
    "daemonsets.apps": Rules(
        daemonset.create_daemon_set,
        daemonset.update_daemon_set,
        {"status": daemonset.update_daemon_set_status},
    ),
    "controllerrevisions.apps": Rules(
        workloads.create_controller_revision, workloads.update_controller_revision
    ),
    "deployments.apps": Rules(
        workloads.create_deployment,
        workloads.update_deployment,
        {"status": workloadstatus.update_deployment_status},
    ),
    "replicasets.apps": Rules(
        workloads.create_replica_set,
        workloads.update_replica_set,
        {"status": workloadstatus.update_replica_set_status},
    ),
    "statefulsets.apps": Rules(
        workloads.create_stateful_set,
        workloads.update_stateful_set,
        {"status": workloadstatus.update_stateful_set_status},
    ),
}
