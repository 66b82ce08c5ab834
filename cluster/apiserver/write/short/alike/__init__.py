"""Objects that are alike: what is worked out for one of them holds for the others.

The pods of a workload, a component's events and the objects of a loader differ in a few texts: a
name, a node, a moment, a message. What an object becomes until it is stored depends on these in one
way only: they stand in it. So the general way is gone once with texts of which nobody else has the
like (marks), and from where these stand afterwards the others are put together.
"""
