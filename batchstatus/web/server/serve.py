"""Runs the service under gunicorn, with this process as its arbiter."""

import atexit
import errno
import gc
import os
import signal
import socket
from functools import partial

from gunicorn.app.base import BaseApplication

from batchstatus.errors import InvalidValue
from batchstatus.settings import Settings
from batchstatus.web import Service, open_service
from batchstatus.web.metrics import forget_process, remove_shared, share_between_processes, write_all
from batchstatus.web.server.gevent_worker import Worker

KEEPALIVE_S = 15
GRACEFUL_S = 30
CONNECTIONS_PER_WORKER = 4_000


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's application, configured by our Settings alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; called by gunicorn."""
        host, port = self._settings.address
        options = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": self._settings.workers,
            "worker_class": f"{Worker.__module__}.{Worker.__qualname__}",
            "worker_connections": CONNECTIONS_PER_WORKER,
            # Without it, all keep-alive connections sometimes land on one process.
            "reuse_port": True,
            "control_socket_disable": True,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": GRACEFUL_S,
            "limit_request_line": 8_190,
            # The service uses no header that a proxy adds, so no peer needs to be distrusted. Without "*" gunicorn
            # would parse the caller's address with each request.
            "secure_scheme_headers": {},
            "forwarder_headers": "",
            "forwarded_allow_ips": "*",
            "loglevel": self._settings.log_level,
            "logger_class": "batchstatus.web.server.logger.GunicornLogger",
            "worker_exit": lambda _, __: write_all(),
            "child_exit": lambda _, worker: forget_process(worker.pid),
            "on_exit": lambda _: remove_shared(),
        }
        share_between_processes()
        _end_processes_that_boot()
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Service:
        """Return the application, made in each process after its fork. Called by gunicorn."""
        app = open_service(self._settings)
        gc.freeze()  # these objects stay for good, and each collection that looks through them delays requests
        # Frozen objects outlive gevent's modules at the exit. A log handler that dies so late needs gevent's lock,
        # and prints a traceback.
        atexit.register(gc.unfreeze)
        return app


def _end_processes_that_boot() -> None:
    """Let SIGTERM end a process that is still booting.

    Until a process sets its own signal handlers, it has those of the arbiter. They only queue the signal for the
    arbiter's loop, which the process never runs, and the arbiter would wait for `graceful_timeout`. gunicorn's
    hook `post_fork` comes a moment too late.
    """
    terminate = {signal.SIGTERM}

    def in_the_child() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, terminate)

    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, terminate),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, terminate),
        after_in_child=in_the_child,
    )


def check_address(settings: Settings) -> None:
    """Raise InvalidValue if the address cannot be bound. gunicorn, with `reuse_port`, would share a taken one."""
    host, port = settings.address
    if port == 0:
        raise InvalidValue("bind needs a port; with 0 each process would get its own")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise InvalidValue(f"cannot bind {settings.bind}: {'it is taken' if taken else error}") from None
