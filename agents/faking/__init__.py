"""What stands in for containers: behaviour by annotation, the fake runtime and its logs."""
