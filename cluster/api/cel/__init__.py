"""``x-kubernetes-validations`` and admission policies: CEL, the Common Expression Language.

A room for each step from text to result: `syntax` makes a tree, `checker` gives every part of it a
type, `costs` says what it can cost at most, `interpreter` makes a function of it; `engine` does all
of that. `functions` has what expressions may call. `schemas` are the rules of custom resources,
shown objects as their schema says; `policies` the expressions of admission, over all kinds. All of
it is imported with the first expression, not before.
"""
