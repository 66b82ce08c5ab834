"""Short ways for the most frequent writes: what the general way (`write.pipeline`) does, with less.

Where it is not certain that the outcome would be the same, a short way does nothing, and the
general way decides.
"""
