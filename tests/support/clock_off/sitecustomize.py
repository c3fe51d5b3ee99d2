"""Imported by Python at startup from PYTHONPATH: shifts the wall clock of the process by CLOCK_OFF_S seconds."""

import os
import time

_off_s = int(os.environ.get("CLOCK_OFF_S", "0"))
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _off_s
time.time_ns = lambda: _time_ns() + _off_s * 10**9
