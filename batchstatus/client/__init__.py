"""The HTTP client, written with the standard library only."""

from batchstatus.client.client import Client

__all__ = ["Client"]
