"""gunicorn's messages as part of the service's log."""

from typing import Any

from gunicorn.glogging import Logger


class GunicornLogger(Logger):  # type: ignore[misc]
    """Sends gunicorn's messages to the root logger's handlers."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers, and propagate to the root logger; called by gunicorn."""
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())
        self._addresses = ",".join(map(_shown, cfg.address))

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log; called by gunicorn. With `reuse_port` its arbiter has no socket, and would name no address."""
        if msg.startswith("Listening at") and not args[0]:
            args = (self._addresses, *args[1:])
        super().info(msg, *args, **kwargs)


def _shown(address: tuple[str, int] | str) -> str:
    """Returns an address as gunicorn shows it."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
