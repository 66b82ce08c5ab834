"""What nodes do wrong while they are told to: nothing of this is imported before the first fault.

`nodefaults` and `pods` say what is wrong, as pure values; `casualty` gives one node what misbehaves
and takes it away again; `injector` does it for all nodes of a process.
"""
