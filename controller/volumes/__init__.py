"""Protection of volumes and claims that are in use (StorageObjectInUseProtection)."""
