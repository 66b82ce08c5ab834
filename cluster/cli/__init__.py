"""The `kubeherd` command: talks to the supervisor of a cluster and to its API server."""
