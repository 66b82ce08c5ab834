"""Bytes to trees and back: JSON, YAML, msgpack, protobuf, and decoding into the stored form."""
