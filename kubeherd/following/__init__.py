"""Any cluster followed from outside as one history: records in the order of their revisions.

`follower` lists and watches one resource, `ordering` puts the events of many watches in order,
`session` is all of them, `own` tells of the processes and faults of a cluster of ours. For whoever
looks at a cluster that lives: `kubeherd check`, `record`, `watch`, `timeline` and the dashboard.
"""
