"""What lies in a store file: the engine that writes it, and how its files are judged and read."""
