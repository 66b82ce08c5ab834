"""What a herd looks like at one moment: nodes, the pods on them, what is being rolled out. Pure.

`model` has the values, `herd.Herd` makes them of the records of a history, `rollouts` says how far
a workload is and what holds it up. Drawn by `kubeherd watch` and the dashboard; knows histories and
nothing of clusters.
"""
