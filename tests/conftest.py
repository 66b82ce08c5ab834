"""What holds for all tests."""

from hypothesis import settings

# How fast a machine is belongs in benchmarks: a busy one must not fail a property.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
