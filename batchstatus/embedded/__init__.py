"""A real Valkey server as a child process, for the demo and the tests."""

from batchstatus.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer"]
