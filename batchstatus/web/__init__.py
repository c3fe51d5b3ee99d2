"""The service: a thin Flask blueprint over the store, for anybody's application or as one of its own.

`blueprint` is for an application of one's own, with `Caller` for what its login knows; `create_app` builds the
service as an application; `batchstatus serve` runs it. Nothing here needs a particular server.
"""

from batchstatus.web.access import Caller
from batchstatus.web.registration import blueprint
from batchstatus.web.service import Service, create_app, open_service

__all__ = ["Caller", "Service", "blueprint", "create_app", "open_service"]
