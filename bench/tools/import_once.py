"""One import of the demo in a process of its own; prints its CPU seconds without the start-up.

Run: python import_once.py tracked|untracked|watched FILE OPTION… (the options of examples/import_transactions.py)

With `watched`, it prints only the CPU seconds spent in calls of the SDK and in the SDK's thread, minus the cost of
measuring them.
"""

import encodings.idna  # noqa: F401 - imported by the first host look-up of any program, so part of the start-up
import resource
import sys
import time
from functools import wraps
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import importing
from import_transactions import Transactions

from batchstatus import Run
from batchstatus.worker.reporter import Reporter


class NoRun:
    """Stands in for a run: accepts what the importer counts, and does nothing."""

    checkpoint = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def total(self, total_items):
        pass

    def check(self):
        pass

    def succeeded(self, n=1, *, checkpoint=None):
        pass

    def failed(self, row, *, checkpoint=None):
        pass


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def watch(owner, name):
    """Wrap a function so that it adds its CPU time to `in_the_sdk`, including part of the cost of measuring."""
    watched = getattr(owner, name)

    @wraps(watched)
    def call(*arguments, **options):
        before_s = time.thread_time()
        try:
            return watched(*arguments, **options)
        finally:
            in_the_sdk.append(time.thread_time() - before_s)

    setattr(owner, name, call)


def clock_s():
    """Returns the CPU time that `watch` itself adds to each call."""
    nothing = SimpleNamespace(call=lambda: None)
    watch(nothing, "call")
    calls, before = 1_000, len(in_the_sdk)
    for _ in range(calls):
        nothing.call()
    added = in_the_sdk[before:]
    del in_the_sdk[before:]
    return sum(added) / calls


how, in_the_sdk = sys.argv.pop(1), []
if how == "untracked":
    no_store = SimpleNamespace(run=lambda *_, **__: NoRun())
    importing.batchstatus.connect = lambda *_, **__: no_store
if how == "watched":
    watch(importing.batchstatus, "connect")
    for name in ("__enter__", "__exit__", "total", "check", "succeeded", "failed"):
        watch(Run, name)
    watch(Reporter, "run")
arguments = importing.arguments(Transactions)
before_s = cpu_s()
importing.run_job(Transactions, arguments)
print(sum(in_the_sdk) - clock_s() * len(in_the_sdk) if how == "watched" else cpu_s() - before_s)
