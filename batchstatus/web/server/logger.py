"""gunicorn's messages as part of the service's log."""

from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages to the root logger's handlers."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers, and propagate to the root logger; called by gunicorn."""
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())
