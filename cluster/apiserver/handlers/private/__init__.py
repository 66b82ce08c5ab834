"""What only kubeherd's own processes ask: batches of writes, polls of many collections."""
