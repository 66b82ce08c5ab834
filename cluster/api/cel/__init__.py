"""``x-kubernetes-validations``: rules in CEL, the Common Expression Language.

The library that evaluates them is imported with the first rule, not before.
"""
