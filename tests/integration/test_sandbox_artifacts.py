"""What the sandbox downloads is held to its lock, whether jgo brings it (from a loopback repository) or an `mvn`."""

import gc
import hashlib
import io
import os
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.sandbox import SandboxError, Silent
from deploy.sandbox.artifacts import cache, jars, unpacked

ONE = "org/example/one/1.0/one-1.0.jar"
TWO = "org/example/deep/two/2.0-rc1/two-2.0-rc1-linux.jar"
ARCHIVE = "org/example/app/3.3.3/app-3.3.3-all.tar.gz"


@dataclass
class Repository:
    """A Maven repository of a few files, and whether its answers stop halfway."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stops_halfway: bool = False
    url: str = ""


@pytest.fixture
def repository() -> Iterator[Repository]:
    served = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/maven/")
            served.asked.append(path)
            content = served.files.get(path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write((content or b"")[: 3 if served.stops_halfway else None])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's signature
            """A test's output is not a log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/maven"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield served
        server.shutdown()
        thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # jgo leaves an answer that it does not read to its end open
        gc.collect()


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """The folder of the locks and poms."""
    folder = tmp_path / "locks"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def no_maven_and_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Repository) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LEADSTREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MAVEN_REPOSITORY_URL", repository.url)


def lock(folder: Path, name: str, files: dict[str, bytes]) -> None:
    (folder / f"{name}.lock").write_text(
        "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in files.items())
    )


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def what_is_in_the_cache() -> list[str]:
    """All but the files that processes hold to wait for each other."""
    return sorted(str(file.relative_to(cache())) for file in cache().rglob("*") if file.suffix != ".lock")


def test_jars_come_without_maven_in_the_order_of_the_lock(repository: Repository, locks: Path) -> None:
    repository.files = {TWO: b"two", ONE: b"one"}
    lock(locks, "kafka", repository.files)
    found = jars("kafka", Silent(), locks)
    assert [(jar.name, jar.read_bytes()) for jar in found] == [
        ("two-2.0-rc1-linux.jar", b"two"),
        ("one-1.0.jar", b"one"),
    ]


def test_what_is_in_the_cache_is_not_asked_for_again(repository: Repository, locks: Path) -> None:
    repository.files = {ONE: b"one"}
    lock(locks, "kafka", repository.files)
    first = jars("kafka", Silent(), locks)
    repository.asked.clear()
    repository.files = {}
    assert jars("kafka", Silent(), locks) == first
    assert repository.asked == []


def test_another_lock_is_another_folder_so_that_a_new_version_is_downloaded(
    repository: Repository, locks: Path
) -> None:
    repository.files = {ONE: b"one", TWO: b"two"}
    lock(locks, "kafka", {ONE: b"one"})
    before = jars("kafka", Silent(), locks)
    lock(locks, "kafka", repository.files)
    assert len(jars("kafka", Silent(), locks)) == 2
    assert before[0].exists()


def test_a_jar_with_another_checksum_is_refused_and_nothing_of_it_is_kept(repository: Repository, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one", TWO: b"two"})
    repository.files = {ONE: b"one", TWO: b"evil"}
    with pytest.raises(SandboxError, match=r"two-2.0-rc1-linux\.jar has another sha256") as refusal:
        jars("kafka", Silent(), locks)
    assert "run this again" in str(refusal.value)
    assert what_is_in_the_cache() == []


def test_after_a_refusal_the_next_download_starts_anew(repository: Repository, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    repository.files = {ONE: b"evil"}
    with pytest.raises(SandboxError):
        jars("kafka", Silent(), locks)
    repository.files = {ONE: b"one"}
    assert jars("kafka", Silent(), locks)[0].read_bytes() == b"one"


def test_a_file_the_repository_does_not_have_is_named(repository: Repository, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    with pytest.raises(
        SandboxError, match=r"one-1\.0\.jar could not be downloaded \(the repository does not give it\)"
    ) as refusal:
        jars("kafka", Silent(), locks)
    assert "MAVEN_REPOSITORY_URL" in str(refusal.value)
    assert what_is_in_the_cache() == []


def test_a_download_that_stops_halfway_never_stands_in_the_cache(repository: Repository, locks: Path) -> None:
    repository.files = {ONE: b"a jar of some length"}
    lock(locks, "kafka", repository.files)
    repository.stops_halfway = True
    with pytest.raises(SandboxError, match=r"one-1.0\.jar"):
        jars("kafka", Silent(), locks)
    assert what_is_in_the_cache() == []


def test_without_a_network_the_error_says_what_to_look_at(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    monkeypatch.setenv("MAVEN_REPOSITORY_URL", "http://127.0.0.1:1")
    with pytest.raises(SandboxError, match=r"\(ConnectionError\): look at the network and at the repository"):
        jars("kafka", Silent(), locks)
    assert what_is_in_the_cache() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "one-1.0.jar").write_bytes(b"evil"), "one-1.0.jar has another sha256"),
        (lambda folder: (folder / "one-1.0.jar").unlink(), "one-1.0.jar is missing"),
        (lambda folder: (folder / "evil.jar").write_bytes(b"evil"), "evil.jar does not belong there"),
    ],
)
def test_a_cache_that_was_changed_is_refused(
    repository: Repository, locks: Path, change: Callable[[Path], object], said: str
) -> None:
    repository.files = {ONE: b"one", TWO: b"two"}
    lock(locks, "kafka", repository.files)
    folder = jars("kafka", Silent(), locks)[0].parent
    change(folder)
    with pytest.raises(SandboxError, match=said) as refusal:
        jars("kafka", Silent(), locks)
    assert f"in {folder}" in str(refusal.value)
    assert "Delete that folder" in str(refusal.value)


def test_what_a_killed_download_left_is_cleared_away(repository: Repository, locks: Path) -> None:
    repository.files = {ONE: b"one"}
    lock(locks, "kafka", repository.files)
    folder = jars("kafka", Silent(), locks)[0].parent
    folder.with_suffix(".incoming").mkdir()
    folder.rename(folder.with_suffix(".incoming") / "ready")
    (folder.with_suffix(".incoming") / "ready" / "half.jar").write_bytes(b"ha")
    assert [jar.name for jar in jars("kafka", Silent(), locks)] == ["one-1.0.jar"]
    assert what_is_in_the_cache() == [folder.name, f"{folder.name}/one-1.0.jar"]


def test_an_archive_is_unpacked_once_and_what_was_in_it_is_held_to(repository: Repository, locks: Path) -> None:
    repository.files = {ARCHIVE: archive({"run.jar": b"run", "lib/a.jar": b"a"})}
    lock(locks, "registry", repository.files)
    folder = unpacked("registry", Silent(), locks)
    assert (folder / "lib" / "a.jar").read_bytes() == b"a"
    assert unpacked("registry", Silent(), locks) == folder
    (folder / "lib" / "a.jar").write_bytes(b"evil")
    with pytest.raises(SandboxError, match=r"lib/a\.jar has another sha256"):
        unpacked("registry", Silent(), locks)


def test_an_archive_that_reaches_out_of_its_folder_is_not_unpacked(
    repository: Repository, locks: Path, tmp_path: Path
) -> None:
    repository.files = {ARCHIVE: archive({"../../../outside": b"evil"})}
    lock(locks, "registry", repository.files)
    with pytest.raises(tarfile.FilterError):
        unpacked("registry", Silent(), locks)
    assert not (tmp_path / "outside").exists()
    assert what_is_in_the_cache() == []


def mvn(path: Path, does: str) -> None:
    """A Maven of ours on the PATH: it does what a test says, in sh."""
    path.mkdir()
    (path / "mvn").write_text(f"#!/bin/sh\nPATH={os.defpath}\n{does}\n")
    (path / "mvn").chmod(0o755)


TAKE_OUTPUT_DIRECTORY = 'for a; do case "$a" in -DoutputDirectory=*) into="${a#-DoutputDirectory=}";; esac; done'


def test_maven_is_preferred_and_held_to_the_same_lock(tmp_path: Path, repository: Repository, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    mvn(tmp_path / "bin", f'{TAKE_OUTPUT_DIRECTORY}; printf one > "$into/one-1.0.jar"')
    assert jars("kafka", Silent(), locks)[0].read_bytes() == b"one"
    assert repository.asked == []


def test_a_jar_more_than_the_lock_has_is_refused(tmp_path: Path, locks: Path) -> None:
    """A dependency that slipped into the pom's tree would be on the class path."""
    lock(locks, "kafka", {ONE: b"one"})
    mvn(tmp_path / "bin", f'{TAKE_OUTPUT_DIRECTORY}; printf one > "$into/one-1.0.jar"; touch "$into/new-1.0.jar"')
    with pytest.raises(SandboxError, match=r"not what kafka\.lock says: new-1.0\.jar does not belong there"):
        jars("kafka", Silent(), locks)
    assert what_is_in_the_cache() == []


def test_maven_asks_nothing_but_the_repository_that_is_set(tmp_path: Path, locks: Path, repository: Repository) -> None:
    lock(locks, "kafka", {})
    mvn(tmp_path / "bin", f'while [ "$1" != -s ]; do shift; done; cat "$2" > {tmp_path}/settings.xml')
    jars("kafka", Silent(), locks)
    settings = (tmp_path / "settings.xml").read_text()
    assert f"<mirrorOf>*</mirrorOf><url>{repository.url}</url>" in settings


def test_maven_uses_its_own_settings_when_no_repository_is_set(
    tmp_path: Path, locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(locks, "kafka", {})
    monkeypatch.delenv("MAVEN_REPOSITORY_URL")
    mvn(tmp_path / "bin", f'echo "$*" > {tmp_path}/arguments')
    jars("kafka", Silent(), locks)
    assert " -s " not in (tmp_path / "arguments").read_text()


def test_the_last_words_of_a_maven_that_fails_are_shown(tmp_path: Path, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    mvn(tmp_path / "bin", "echo '[ERROR] Unknown host'; exit 1")
    with pytest.raises(
        SandboxError, match=r"\[ERROR\] Unknown host\n\nMaven could not bring what kafka.pom.xml asks for"
    ):
        jars("kafka", Silent(), locks)


def test_a_full_disk_is_said_in_words(tmp_path: Path, locks: Path) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    mvn(tmp_path / "bin", "echo '[ERROR] one-1.0.jar: No space left on device'; exit 1")
    with pytest.raises(SandboxError, match=r"The disk is full: .* set LEADSTREAM_CACHE to a folder on another disk"):
        jars("kafka", Silent(), locks)
    assert what_is_in_the_cache() == []


def test_a_cache_that_cannot_be_written_is_said_in_words(
    tmp_path: Path, locks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(locks, "kafka", {ONE: b"one"})
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEADSTREAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(SandboxError, match=r"cannot be written .*: set LEADSTREAM_CACHE to a folder that can"):
        jars("kafka", Silent(), locks)


def test_the_cache_is_in_the_users_cache_folder_unless_one_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEADSTREAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache() == tmp_path / "xdg" / "leadstream"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache" / "leadstream"
