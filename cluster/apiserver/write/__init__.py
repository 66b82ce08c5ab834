"""The path of a write: from a decoded object to the store."""
