"""The garbage collector: deletion along owner references. Spec: api-machinery, section 7.

`graph` knows who depends on whom, `plan` decides about one object, `controller` watches, `writer`
writes. The kinds are found by `controller.discovery`.
"""
