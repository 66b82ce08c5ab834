"""The commands of faults, and the options that other commands share with them."""
