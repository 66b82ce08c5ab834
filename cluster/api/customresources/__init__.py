"""Custom resources, pure: what a CustomResourceDefinition means for the objects of its kind.

Imported when the first definition is written or found, not before.
"""
