"""Runs the service under gunicorn, with this process as its arbiter."""

import atexit
import errno
import gc
import os
import signal
import socket
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path

from gunicorn.app.base import BaseApplication

from batchstatus.model.errors import InvalidValue
from batchstatus.settings import Settings
from batchstatus.web import Service, open_service
from batchstatus.web.metrics import forget_process, remove_shared, share_between_processes, write_all
from batchstatus.web.server.gevent_worker import Worker

GRACEFUL_S = 30
CONNECTIONS_PER_WORKER = 4_000
SOCKET_UMASK = 0o117
"""Makes a unix socket with the mode 0660: for the service's user and group."""


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn's application, configured by our Settings alone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; called by gunicorn."""
        options = {
            "bind": self._settings.bind,
            "workers": self._settings.workers,
            "worker_class": f"{Worker.__module__}.{Worker.__qualname__}",
            "worker_connections": CONNECTIONS_PER_WORKER,
            # Without it, all keep-alive connections sometimes land on one process. A unix socket has none.
            "reuse_port": self._settings.socket_path is None,
            "umask": SOCKET_UMASK if self._settings.socket_path else 0,
            "control_socket_disable": True,
            "keepalive": self._settings.keep_alive_s,
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


def checked_address(settings: Settings) -> Settings:
    """Returns the settings, with a free port in place of port 0: each process would get one of its own.

    Raises InvalidValue if the address cannot be bound. gunicorn, with `reuse_port`, would share a taken one.
    """
    if settings.socket_path:
        _check_socket(settings.socket_path)
        return settings
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise InvalidValue(f"cannot bind {settings.bind}: {'it is taken' if taken else error}") from None
        found = probe.getsockname()[1]
    return replace(settings, bind=f"{settings.bind.rpartition(':')[0]}:{found}")


def _check_socket(path: str) -> None:
    """Raise InvalidValue unless a unix socket can be made here. gunicorn replaces one that nobody listens on."""
    folder = Path(path).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidValue(f"cannot bind unix:{path}: {folder} is no folder that this user may write to")
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidValue(f"cannot bind unix:{path}: there is something else than a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise InvalidValue(f"cannot bind unix:{path}: {error}") from None
    raise InvalidValue(f"cannot bind unix:{path}: it is taken")
