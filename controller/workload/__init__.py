"""What workload controllers share: claiming, revisions, hashes, status and other own writes, the
views of workloads, and in `pods` all that is about their pods. No controller imports another."""
