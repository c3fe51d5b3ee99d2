"""The service: a thin Flask blueprint over the store. `create_app` builds it; `batchstatus serve` runs it."""

from batchstatus.web.application import create_app

__all__ = ["create_app"]
