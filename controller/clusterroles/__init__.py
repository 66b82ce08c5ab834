"""ClusterRoles with an ``aggregationRule``: their rules are those of the roles that it selects."""
