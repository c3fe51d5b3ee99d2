"""The guard of an embedded server: its parent, which ends it when the owner ends, however that happens.

    python -I -S guard.py OWNER_PID TEMPORARY_DIRECTORY SERVER [OPTION ...]

The owner holds the other end of our stdin and stdout, a socket: the leash. We say the server's pid on it and
then wait. The leash closes when the owner wants the server to end, and when the owner dies, by kill -9 too;
a process that the owner forked may hold the leash as well, so we look whether the owner is still our parent.
When the server exits we exit with its code, or 128 + n if signal n killed it. An owner that ends the server says
KEEP first and looks after the temporary directory; from any other owner, dead or dying, we inherit the directory
and remove it (none if empty). This is a script of its own, importing next to nothing, so that it starts in
milliseconds.
"""

import os
import select
import shutil
import signal
import sys
import time

KEEP = b"k"
OWNER_CHECK_S = 1.0
TERM_S = 2.0
"""How long the server has to shut down before it is killed."""

DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that may reach us, but only the end of the owner or of the server makes us go."""


def spawn(command: list[str]) -> int:
    """Start the server: hearing what we are deaf to, off the leash, its output on our stderr, the log."""
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setsigdef=DEAF_TO,
    )


def terminate(server: int) -> None:
    """End the server, a stopped one too. We go, by SIGCHLD, as soon as it has gone."""
    os.kill(server, signal.SIGCONT)
    os.kill(server, signal.SIGTERM)
    time.sleep(TERM_S)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)


def main(owner: int, temporary: str, command: list[str]) -> None:
    """Run the server for as long as the owner wants it."""
    inherited = False

    def exit_with_server(*_: object) -> None:
        reaped, status = os.waitpid(-1, os.WNOHANG)
        if reaped:  # else it was stopped, or goes on: SIGCHLD tells of that too
            if temporary and (inherited or os.getppid() != owner):
                shutil.rmtree(temporary, ignore_errors=True)
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, exit_with_server)
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    server = spawn(command)
    try:
        os.write(1, b"%d" % server)
        while os.getppid() == owner and not select.select([0], [], [], OWNER_CHECK_S)[0]:
            pass
        inherited = os.getppid() != owner or os.read(0, len(KEEP)) != KEEP
    finally:
        terminate(server)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
