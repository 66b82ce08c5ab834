"""Admission: the plugins that change or refuse a write (spec api-machinery, section 20).

`chain.Admission` runs them in the order of Kubernetes; a plugin is a function of an
`AdmissionRequest` and a `Lookup`, without I/O.
"""

from kubeherd.cluster.apiserver.admission.chain import Admission
from kubeherd.cluster.apiserver.admission.request import AdmissionRequest, Operation

__all__ = ["Admission", "AdmissionRequest", "Operation"]
