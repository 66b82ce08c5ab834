"""Custom resources in the API server: what is served by which CustomResourceDefinition.

Imported when the first definition is found, but for `watching`, which waits for it.
"""
