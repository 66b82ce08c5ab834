"""The Deployment controller: rollouts, their history, scaling and progress.

Section numbers in this package are those of docs/spec/deployment-controller.md.
"""
