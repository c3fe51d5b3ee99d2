"""One import of the demo's, in a process of its own; prints the CPU seconds that it took, start-up aside.

Run: python import_once.py tracked|untracked FILE OPTION… (those of examples/import_transactions.py)
"""

import encodings.idna  # noqa: F401 - what the first look-up of a host imports, in any program: start-up too
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import importing
from import_transactions import Transactions


class NoRun:
    """Stands where a run would: takes what the importer counts, and does nothing with it."""

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


if sys.argv.pop(1) == "untracked":
    no_store = SimpleNamespace(run=lambda *_, **__: NoRun())
    importing.batchstatus.connect = lambda *_, **__: no_store
arguments = importing.arguments(Transactions)
before_s = cpu_s()
importing.run_job(Transactions, arguments)
print(cpu_s() - before_s)
