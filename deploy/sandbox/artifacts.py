"""What the parts are made of comes once, into a cache, and is exactly what a committed lock says.

A lock is in `sha256sum`'s format, a file a line with its path in Maven's layout. A file that is missing, extra or
different is refused; what was not downloaded, checked and unpacked to its end never stands under its name in the cache.
"""

import errno
import hashlib
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from . import maven
from .errors import SandboxError
from .flock import held

_HERE = Path(__file__).parent
_SUMS = "SHA256SUMS"
_SHOWN = 3


def cache() -> Path:
    """Where what was downloaded is kept: `LEADSTREAM_CACHE`, else `leadstream` in the user's cache folder."""
    if chosen := os.environ.get("LEADSTREAM_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "leadstream")


def jars(name: str, say: Callable[[str], None], *, lock: Path | None = None) -> list[Path]:
    """The jars of a part in its lock's order, downloaded if they are not there."""
    lock = lock or _HERE / f"{name}.lock"
    sums = _read_sums(lock)
    flat = {PurePosixPath(file).name: digest for file, digest in sums.items()}
    directory = _once(f"{name}-{_of_file(lock)[:12]}", lambda into: _download(lock, into, say), say)
    _check(directory, flat)
    return [directory / file for file in flat]


def unpacked(name: str, say: Callable[[str], None], *, lock: Path | None = None) -> Path:
    """The folder into which a part's one archive was unpacked, downloaded if it is not there."""
    lock = lock or _HERE / f"{name}.lock"

    def fill(into: Path) -> None:
        with TemporaryDirectory(dir=into.parent) as archives:
            _download(lock, Path(archives), say)
            say(f"unpacking {name}")
            (archive,) = Path(archives).iterdir()
            with tarfile.open(archive) as files:
                files.extractall(into, filter="data")
        sums = {str(file.relative_to(into)): _of_file(file) for file in sorted(into.rglob("*")) if file.is_file()}
        (into / _SUMS).write_text("".join(f"{digest}  {file}\n" for file, digest in sums.items()), encoding="utf-8")

    directory = _once(f"{name}-{_of_file(lock)[:12]}", fill, say)
    _check(directory, {**_read_sums(directory / _SUMS), _SUMS: _of_file(directory / _SUMS)})
    return directory


def _once(name: str, fill: Callable[[Path], None], say: Callable[[str], None]) -> Path:
    directory = cache() / name
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with held(directory.with_suffix(".lock"), lambda: say(f"waiting for another download of {name}")):
            if not directory.exists():
                with TemporaryDirectory(dir=directory.parent, prefix="incoming-") as incoming:
                    ready = Path(incoming, "ready")
                    ready.mkdir()
                    fill(ready)
                    ready.rename(directory)
    except maven.DiskFull:
        raise _disk_full(directory) from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(directory) from None
        raise SandboxError(
            f"{directory} cannot be written ({error.strerror}): set LEADSTREAM_CACHE to a folder that can."
        ) from error
    return directory


def _download(lock: Path, into: Path, say: Callable[[str], None]) -> None:
    sums = _read_sums(lock)
    maven.download([PurePosixPath(file) for file in sums], lock.with_suffix(".pom.xml"), into, say)
    _check(into, {PurePosixPath(file).name: digest for file, digest in sums.items()}, lock=lock)


def _check(directory: Path, expected: Mapping[str, str], *, lock: Path | None = None) -> None:
    there = {str(file.relative_to(directory)): file for file in directory.rglob("*") if file.is_file()}
    wrong = [f"{name} is missing" for name in expected.keys() - there.keys()]
    wrong += [f"{name} does not belong there" for name in there.keys() - expected.keys()]
    wrong += [
        f"{name} has another sha256"
        for name in expected.keys() & there.keys()
        if _of_file(there[name]) != expected[name]
    ]
    if not wrong:
        return
    said = ", ".join(sorted(wrong)[:_SHOWN]) + (f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")
    if lock:
        raise SandboxError(
            f"What was downloaded is not what {lock.name} says: {said}. Nothing of it was kept. Delete that file where"
            " the download client has its own copy (Maven: ~/.m2/repository), look at its mirror, and run this again."
        )
    raise SandboxError(f"The cache was changed: in {directory}, {said}. Delete that folder and run this again.")


def _read_sums(path: Path) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {file: digest for digest, file in lines}


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_full(directory: Path) -> SandboxError:
    return SandboxError(
        f"The disk is full: {directory.parent} and the download client's own cache need about 500 MB. Make room, or set"
        " LEADSTREAM_CACHE to a folder on another disk, and run this again. Nothing half-done was kept."
    )
