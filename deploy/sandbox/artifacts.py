"""What the parts are made of comes once, into a cache, and is exactly what a committed lock says.

A lock is in `sha256sum`'s format, a file a line with its path in Maven's layout. A file that is missing, extra or
different is refused; what was not downloaded, checked and unpacked to its end never stands under its name in the cache.
"""

import errno
import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from . import maven
from .errors import SandboxError
from .flock import held
from .progress import Progress

_LOCKS = Path(__file__).parent
_SUMS = "SHA256SUMS"
_SHOWN = 3


def cache() -> Path:
    """Where what was downloaded is kept: `LEADSTREAM_CACHE`, else `leadstream` in the user's cache folder."""
    if chosen := os.environ.get("LEADSTREAM_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "leadstream")


def jars(name: str, progress: Progress, locks: Path = _LOCKS) -> list[Path]:
    """The jars of a part in its lock's order, downloaded if they are not there. SandboxError says why not."""
    lock = locks / f"{name}.lock"
    directory = _once(lock, lambda into: _download(lock, into, progress), progress)
    expected = _by_file_name(lock)
    _check_cache(directory, expected)
    return [directory / file for file in expected]


def unpacked(name: str, progress: Progress, locks: Path = _LOCKS) -> Path:
    """The folder with what is in a part's one archive, downloaded if it is not there. SandboxError says why not."""
    lock = locks / f"{name}.lock"

    def fill(into: Path) -> None:
        with TemporaryDirectory(dir=into.parent) as archives:
            _download(lock, Path(archives), progress)
            progress.moment(f"{name}: unpacking")
            (archive,) = Path(archives).iterdir()
            with tarfile.open(archive) as files:
                files.extractall(into, filter="data")
        sums = {file: _sha256(into / file) for file in _files_of(into)}
        (into / _SUMS).write_text("".join(f"{digest}  {file}\n" for file, digest in sums.items()), encoding="utf-8")

    directory = _once(lock, fill, progress)
    sums = directory / _SUMS
    _check_cache(directory, {**_read_sums(sums), _SUMS: _sha256(sums)} if sums.exists() else {_SUMS: ""})
    return directory


def _once(lock: Path, fill: Callable[[Path], None], progress: Progress) -> Path:
    directory = cache() / f"{lock.stem}-{_sha256(lock)[:12]}"
    if directory.exists():
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with held(directory.with_suffix(".lock"), lambda: progress.step(f"{lock.stem}: waiting for another download")):
            if not directory.exists():
                _fill_then_show(directory, fill)
    except maven.DiskFull:
        raise _disk_full(directory) from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(directory) from None
        raise SandboxError(
            f"{directory} cannot be written ({error.strerror}): set LEADSTREAM_CACHE to a folder that can."
        ) from error
    return directory


def _fill_then_show(directory: Path, fill: Callable[[Path], None]) -> None:
    incoming = directory.with_suffix(".incoming")
    shutil.rmtree(incoming, ignore_errors=True)  # what a killed download left
    try:
        ready = incoming / "ready"
        ready.mkdir(parents=True)
        fill(ready)
        ready.rename(directory)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _download(lock: Path, into: Path, progress: Progress) -> None:
    files = [PurePosixPath(file) for file in _read_sums(lock)]
    size = "1 file" if len(files) == 1 else f"{len(files)} files"
    progress.step(f"{lock.stem}: downloading {size}, this once")
    since = time.monotonic()
    maven.download(files, lock.with_suffix(".pom.xml"), into, progress)
    wrong = _differences(into, _by_file_name(lock))
    if wrong:
        raise SandboxError(
            f"What was downloaded is not what {lock.name} says: {wrong}. Nothing of it was kept. Delete that file where"
            " the download client has its own copy (Maven: ~/.m2/repository), look at its mirror, and run this again."
        )
    progress.step(f"{lock.stem}: downloaded and checked ({time.monotonic() - since:.1f} s)")


def _check_cache(directory: Path, expected: Mapping[str, str]) -> None:
    wrong = _differences(directory, expected)
    if wrong:
        raise SandboxError(f"The cache was changed: in {directory}, {wrong}. Delete that folder and run this again.")


def _differences(directory: Path, expected: Mapping[str, str]) -> str:
    there = _files_of(directory)
    wrong = [f"{file} is missing" for file in expected if file not in there]
    wrong += [f"{file} does not belong there" for file in there if file not in expected]
    wrong += [
        f"{file} has another sha256" for file in there if expected.get(file, "") not in {"", _sha256(directory / file)}
    ]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return ", ".join(wrong[:_SHOWN]) + more


def _files_of(directory: Path) -> list[str]:
    return sorted(str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file())


def _by_file_name(lock: Path) -> dict[str, str]:
    return {PurePosixPath(file).name: digest for file, digest in _read_sums(lock).items()}


def _read_sums(path: Path) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {file: digest for digest, file in lines}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_full(directory: Path) -> SandboxError:
    return SandboxError(
        f"The disk is full: {directory.parent} and the download client's own cache need about 600 MB. Make room, or set"
        " LEADSTREAM_CACHE to a folder on another disk, and run this again. Nothing half-done was kept."
    )
