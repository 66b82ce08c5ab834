"""A recorded history played back as an API server that can only be read (`--replay`).

`store` is filled by `filling` from records, `player` says until when and how fast, `readonly` lets
no write pass, `serving` is the process. Imported with ``--replay`` only.
"""
