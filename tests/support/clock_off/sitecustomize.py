"""Python imports this at its start where the directory is on PYTHONPATH: a wall clock CLOCK_OFF_S ahead."""

import os
import time

_off_s = int(os.environ.get("CLOCK_OFF_S", "0"))
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _off_s
time.time_ns = lambda: _time_ns() + _off_s * 10**9
