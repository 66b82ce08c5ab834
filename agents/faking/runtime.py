"""The fake container runtime of one node: the facts of its pods, their addresses, pulled images.

All state of a node's "machine" is here, in memory; what must survive an agent is in the pods' API
status (`agents.pods.recovery`). Invariant: two pods that live at the same time never share an
address.
"""

from collections.abc import Collection

from msgspec.structs import replace

from kubeherd.agents.faking.volumefiles import VolumeFiles
from kubeherd.agents.node.addresses import PodAddresses
from kubeherd.agents.pods.facts import PodFacts
from kubeherd.cluster.api.objects import Pod

MAX_IMAGES_REMEMBERED = 200


class FakeRuntime:
    """Hands out sandboxes and remembers images. One per node."""

    def __init__(self, pod_cidr: str, node_ip: str) -> None:
        self._addresses = PodAddresses(pod_cidr)
        self._node_ip = node_ip
        self._pulled: set[str] = set()
        self._seen: dict[str, None] = {}
        self.volumes = VolumeFiles()

    @property
    def pulled_images(self) -> Collection[str]:
        """Images pulled with a delay: present from now on."""
        return self._pulled

    @property
    def images(self) -> list[str]:
        """All images that ran here, in order of first use."""
        return list(self._seen)

    def add_pulled(self, images: Collection[str]) -> None:
        self._pulled.update(images)

    def add_used(self, pod: Pod) -> None:
        """Remember the images of a pod that runs here."""
        for container in (*pod.spec.init_containers, *pod.spec.containers):
            if len(self._seen) < MAX_IMAGES_REMEMBERED:
                self._seen.setdefault(container.image)

    def with_address(self, pod: Pod, facts: PodFacts) -> PodFacts:
        """The facts with the pod's IP: its own as before, or a free one."""
        if pod.spec.host_network:
            return facts if facts.pod_ip else replace(facts, pod_ip=self._node_ip)
        if facts.pod_ip:
            self._addresses.reserve(facts.pod_ip)
            return facts
        return replace(facts, pod_ip=self._addresses.take())

    def release(self, pod: Pod, facts: PodFacts) -> None:
        """The pod is gone: its address may be used again, its own volumes are lost."""
        self.volumes.forget(pod.metadata.uid)
        if facts.pod_ip and not pod.spec.host_network:
            self._addresses.release(facts.pod_ip)
