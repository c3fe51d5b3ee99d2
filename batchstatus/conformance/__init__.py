"""Puts a worker in any language through the rules of the Redis protocol: `python -m batchstatus.conformance`."""
