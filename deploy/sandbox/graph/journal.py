"""An append-only file of lines that survives SIGKILL: every line that was announced is in it."""

from collections.abc import Iterator
from io import FileIO
from pathlib import Path


class Journal:
    """An append-only file of lines; a line is the operating system's before `append` returns, so SIGKILL loses none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self._file = FileIO(path, "a")

    def append(self, line: str) -> None:
        """Write one line; it must hold no newline."""
        self._file.write(line.encode() + b"\n")

    def lines(self) -> Iterator[str]:
        """Every line so far."""
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")

    def empty(self) -> None:
        """Forget everything."""
        self._file.truncate(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    """A crash of the machine can leave half a line at the end; it was never announced, so it is cut off."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
