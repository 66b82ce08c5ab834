"""A cluster for all tests of a class, with nothing but the standard library's unittest."""

import unittest

import kubeherd

DAEMONSET = """
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: main
          image: app:1
"""


class Nodes(unittest.TestCase):
    cluster: kubeherd.Cluster

    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = kubeherd.Cluster(nodes=2, speed=10)
        cls.cluster.start()
        cls.addClassCleanup(cls.cluster.stop)

    def test_a_new_node_gets_its_pod(self) -> None:
        self.cluster.apply(DAEMONSET)
        self.cluster.wait_rolled_out("web")
        (added,) = self.cluster.add_node("edge-1")
        self.cluster.wait_for_list(
            "Pod", lambda pods: any(pod["spec"].get("nodeName") == added for pod in pods)
        )

    def test_a_dead_node_is_noticed_and_taken_back(self) -> None:
        self.cluster.kill_node("node-0")
        self.cluster.wait_not_ready("node-0")
        self.cluster.start_node("node-0")
        self.cluster.wait_ready("node-0")


if __name__ == "__main__":
    unittest.main()
