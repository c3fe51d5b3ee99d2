"""Whose turn it is in a gevent worker: nobody is forgotten over those who ask more.

A greenlet gives way only where it has to wait. One whose caller has sent more already, or whose store answers at
once, never has to, and would keep the hub from looking for what others have sent. So it gives way unasked after
each answer, before each further piece of a request, and before a trip to the store.
"""

from contextlib import closing

import gevent


def others_first() -> None:
    """Return once the hub has looked for what has been sent by now, and all who waited for it have gone on."""
    hub = gevent.get_hub()
    # The hub looks, and calls those whose time is up with those who have been sent something: by priority.
    with closing(hub.loop.timer(0, priority=-1)) as turn:
        hub.wait(turn)
