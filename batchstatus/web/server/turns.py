"""Cooperative yielding, so that one busy connection cannot starve the others.

A greenlet yields only where it has to wait. A greenlet whose caller has sent more already, or whose store answers
at once, never waits, and would keep the hub from polling the other sockets. So it yields by itself after each
answer, before each further piece of a request, and before a trip to the store that follows another closely.
"""

from contextlib import closing

import gevent


def others_first() -> None:
    """Return once the hub has polled all sockets, and every greenlet that is ready by now has run."""
    hub = gevent.get_hub()
    # After a poll the hub calls back expired timers and ready sockets by their priority: this one last.
    with closing(hub.loop.timer(0, priority=-1)) as turn:
        hub.wait(turn)
