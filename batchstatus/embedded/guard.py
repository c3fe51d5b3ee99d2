"""The guard of an embedded server: its parent process, which ends the server when the owner ends in any way.

    python -I -S guard.py OWNER_PID TEMPORARY_DIRECTORY SERVER [OPTION ...]

The guard's stdin and stdout are one end of a socket, the leash; the owner holds the other end. The guard writes
the server's pid to the leash and waits. The leash closes when the owner wants the server to end, or dies, even by
kill -9. A process that the owner forked may keep the leash open, so the guard also checks that the owner is still
its parent.

When the server exits, the guard exits with the server's code, or 128 + n if signal n killed the server. An owner
that stops the server sends KEEP before it closes the leash, and takes care of the temporary directory (none if
empty). Any other owner is dead or dying, or has dropped the server, so the guard removes the directory. The guard
is a separate script with few imports, so that it starts in milliseconds.
"""

import os
import select
import shutil
import signal
import sys
import time

KEEP = b"k"
"""The owner's word that it takes care of the temporary directory."""

OWNER_CHECK_S = 1.0
TERM_S = 2.0
"""Time for the server to shut down before it is killed."""

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the guard ignores: only the end of the owner or of the server ends the guard."""


def spawn(command: list[str]) -> int:
    """Start the server without the leash, with default signal handling and its output in the log (our stderr)."""
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setsigdef=IGNORED,
    )


def terminate(server: int) -> None:
    """End the server, even a stopped one. Its SIGCHLD then ends the guard."""
    os.kill(server, signal.SIGCONT)
    os.kill(server, signal.SIGTERM)
    time.sleep(TERM_S)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)


def main(owner: int, temporary: str, command: list[str]) -> None:
    """Run the server until the owner ends or closes the leash."""
    abandoned = False

    def exit_with_server(*_: object) -> None:
        reaped, status = os.waitpid(-1, os.WNOHANG)
        if reaped:  # else SIGCHLD reported a stop or a continue
            if temporary and (abandoned or os.getppid() != owner):
                shutil.rmtree(temporary, ignore_errors=True)
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, exit_with_server)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    server = spawn(command)
    try:
        os.write(1, b"%d" % server)
        while os.getppid() == owner and not select.select([0], [], [], OWNER_CHECK_S)[0]:
            pass
        abandoned = os.getppid() != owner or os.read(0, len(KEEP)) != KEEP
    finally:
        terminate(server)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
