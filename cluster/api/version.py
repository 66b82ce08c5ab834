"""Which versions these are: of kubeherd, and of the Kubernetes that it serves.

Written here and nowhere else: the wheel's version, ``/version``, the kubelets' `kubeletVersion`,
OpenAPI's `info`, the User-Agent and ``kubeherd --version`` all come from these two.
"""

from typing import Final

KUBEHERD_VERSION: Final = "0.1.0"
KUBERNETES_VERSION: Final = "v1.36.1"
PRODUCT: Final = f"kubeherd/{KUBEHERD_VERSION} kubernetes/{KUBERNETES_VERSION}"
"""How both sides name themselves in HTTP; up to the first slash, the manager of what they write."""
