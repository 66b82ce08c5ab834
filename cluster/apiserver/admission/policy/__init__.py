"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: which apply, and what they say. Pure.

Source: Kubernetes v1.36, apiserver/pkg/admission/plugin/policy. Who asks them is `write.policies`.
"""
