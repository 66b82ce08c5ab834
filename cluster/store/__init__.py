"""The revisioned state: records, engines (memory, SQLite), history and the watch hub."""
