"""What every workload controller shares: claiming, template hash, names and own writes."""
