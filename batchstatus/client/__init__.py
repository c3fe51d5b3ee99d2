"""The HTTP client, written with the standard library only, and the errors that only it raises."""

from batchstatus.client.client import Client
from batchstatus.model.errors import Refused, ServiceError, ServiceUnavailable

__all__ = ["Client", "Refused", "ServiceError", "ServiceUnavailable"]
