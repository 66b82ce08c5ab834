"""Nodes of other machines: the tokens with which they join, and the directory of one that joined.

Imported by the commands `token` and `join`, and by the supervisor of a directory that joined.
"""
