"""Clock, seeded randomness, owned tasks, process lifecycle and logging: the only code that may
touch real time, real randomness and signals."""
