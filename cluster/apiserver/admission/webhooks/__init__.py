"""Admission webhooks: which are asked, what they are told, what their answers mean. Pure.

Source: Kubernetes v1.36, apiserver/pkg/admission/plugin/webhook. Who asks them is
`write.webhooks`; how is `write.webhookcall`.
"""
