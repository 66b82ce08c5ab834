"""The history of a run, written by the API server: who wrote what when, and who leads.

Imported only with ``--record``. `writes` makes records of what the store kept, `requests` of what
clients were answered, `recorder` knows who writes, `recordfile` keeps it all in a file.
"""
