"""Kubernetes protobuf: trees to bytes and back, driven by the table of Go structs."""
