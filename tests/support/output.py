"""The output of the processes that tests start, kept for the report of a test that fails."""

import os
import tempfile
from typing import ClassVar

SHOWN = 8_000
"""Characters of an output that a report shows: the last ones."""


class Output:
    """What one process prints: give `fileno()` to it as stdout and stderr. `name` says whose output this is."""

    _open: ClassVar[list["Output"]] = []
    _closed: ClassVar[dict[str, str]] = {}

    def __init__(self, name: str) -> None:
        self._name = name
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._open.append(self)

    def fileno(self) -> int:
        """Returns the descriptor of the file behind this; called by subprocess.Popen."""
        return self._file.fileno()

    def text(self) -> str:
        """Returns everything that was printed so far."""
        # pread, not seek and read: the process writes through the same file offset.
        return os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0).decode(errors="replace")

    def close(self) -> None:
        """Keep the text for a report, and close the file."""
        self._closed[self._name] = self.text()
        self._open.remove(self)
        self._file.close()

    @classmethod
    def forget(cls) -> None:
        """Drop the texts of what was closed: the next test begins."""
        cls._closed.clear()

    @classmethod
    def sections(cls) -> list[tuple[str, str]]:
        """Returns name and end of each output that was open since the last `forget`."""
        texts = cls._closed | {each._name: each.text() for each in cls._open}
        return [(name, text[-SHOWN:]) for name, text in texts.items() if text]
