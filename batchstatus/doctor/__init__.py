"""What is wrong with a store, or will be: `examine(url, settings)` returns findings, each with what to do."""

from batchstatus.doctor.examination import examine, log_warnings
from batchstatus.doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "examine", "log_warnings"]
