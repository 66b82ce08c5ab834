"""What goes wrong between clients and the API server, and with its store.

Imported with the first fault. `matching` says which faults strike whom, pure; `gate` stands before
the server's function while there are faults of connections or requests; `hurts` puts all of it in
place and takes it away.
"""
