"""The HTTP client. It needs the standard library only."""

from batchstatus.client.client import Client

__all__ = ["Client"]
