"""gunicorn's own messages, through the service's log."""

from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages to the root logger's handlers."""

    def setup(self, cfg: Any) -> None:
        """Leave the handlers to the root logger. Called by gunicorn."""
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())
