"""Objects that are alike: what was worked out for one of them is used for the others.

The pods of a workload, the events of a component and the objects of a load test differ in a few
texts only: a name, a node, a time, a message. Whatever these texts are, they come out of the
general way of a write unchanged, in the same places. So one object is taken through the general
way with marks, placeholders that occur nowhere else, instead of these texts. The result, with holes
where the marks stood, is a template: for the next object that differs in nothing else its texts are
put into the holes, and nothing is decoded, validated or encoded again.
"""
