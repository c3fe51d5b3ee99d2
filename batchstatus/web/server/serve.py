"""Runs the service under gunicorn, in this process."""

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
    """gunicorn's application class, configured by our Settings and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set what gunicorn is to do; called by gunicorn."""
        host, port = self._settings.address
        options = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": self._settings.workers,
            "worker_class": f"{Worker.__module__}.{Worker.__qualname__}",
            "worker_connections": CONNECTIONS_PER_WORKER,
            # Without it, all keep-alive connections sometimes land on one worker.
            "reuse_port": True,
            "control_socket_disable": True,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": GRACEFUL_S,
            "limit_request_line": 8_190,
            # No header of a proxy's means anything here, so it does not matter whom to believe. Without "*"
            # gunicorn would parse the caller's address with every request to find out.
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
        _end_workers_that_boot()
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Service:
        """Return the application, made in each process after its fork. Called by gunicorn."""
        app = open_service(self._settings)
        gc.freeze()  # what is here now stays; looking through it again and again costs every request
        # What is frozen would outlive gevent's modules at the exit, and log handlers need gevent's locks to die.
        atexit.register(gc.unfreeze)
        return app


def _end_workers_that_boot() -> None:
    """Let SIGTERM end a worker that is not up yet.

    Until it has handlers of its own it has the arbiter's, which take a note that nobody reads: the arbiter
    would wait for it for as long as for requests. gunicorn's `post_fork` comes a moment too late.
    """
    terminate = {signal.SIGTERM}

    def in_the_worker() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, terminate)

    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, terminate),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, terminate),
        after_in_child=in_the_worker,
    )


def check_address(settings: Settings) -> None:
    """Raise InvalidValue if the address is taken or not ours; gunicorn, with `reuse_port`, would share it."""
    host, port = settings.address
    if port == 0:
        raise InvalidValue("bind needs a port; with 0 each worker would get its own")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise InvalidValue(f"cannot bind {settings.bind}: {'it is taken' if taken else error}") from None
