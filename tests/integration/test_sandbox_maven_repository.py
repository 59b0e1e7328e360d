"""Kafka's own jars by the way without Maven, from a repository on loopback, held to the committed lock."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import deploy.sandbox
from deploy.sandbox import Sandbox, Silent
from deploy.sandbox.artifacts import cache, jars

LOCK = Path(deploy.sandbox.__file__).with_name("kafka.lock")
UP = (sys.executable, "-c", "from deploy.sandbox.cli import sandbox; sandbox()", "up", "kafka")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's signature
        """A test's output is not a log."""


@pytest.fixture
def repository(sandbox: Sandbox, tmp_path: Path) -> Path:
    """The jars that the sandbox runs on, in Maven's layout."""
    here = {jar.name: jar for jar in jars("kafka", Silent())}
    for line in LOCK.read_text().splitlines():
        place = tmp_path / "repository" / line.split()[1]
        place.parent.mkdir(parents=True)
        place.symlink_to(here[place.name])
    return tmp_path / "repository"


@pytest.fixture(autouse=True)
def no_maven_and_empty_folders(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(repository))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        (tmp_path / "cache").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
        monkeypatch.setenv("LEADSTREAM_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("MAVEN_REPOSITORY_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        yield
        server.shutdown()
        thread.join()


def test_jgo_brings_every_jar_of_the_lock(tmp_path: Path) -> None:
    found = jars("kafka", Silent())
    assert [jar.name for jar in found] == [Path(line.split()[1]).name for line in LOCK.read_text().splitlines()]
    assert all(jar.is_relative_to(tmp_path / "cache") and jar.stat().st_size for jar in found)


def test_a_changed_jar_in_the_repository_is_refused_in_a_sentence_and_nothing_is_started(
    repository: Path, tmp_path: Path
) -> None:
    (changed,) = repository.rglob("kafka_2.13-4.3.1.jar")
    changed.unlink()
    changed.write_bytes(b"not Kafka")
    refused = subprocess.run([*UP, "--home", str(tmp_path / "up")], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "not what kafka.lock says: kafka_2.13-4.3.1.jar has another sha256" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not [folder for folder in cache().iterdir() if folder.is_dir()]


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    """A file system of one megabyte, in a mount namespace that ends with the command."""
    mount = '/bin/mount -t tmpfs -o size=1m none "$LEADSTREAM_CACHE" || exit 99'
    then = '"$@"; code=$?; /bin/ls "$LEADSTREAM_CACHE"; exit $code'
    full = subprocess.run(
        ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f"{mount}; {then}", "sh", *UP, "--home", str(tmp_path / "up")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare:" in full.stderr or full.returncode == 99:
        pytest.skip(f"this machine lets us mount nothing: {full.stderr.strip()}")
    assert full.returncode == 1
    assert "The disk is full:" in full.stderr
    assert "Traceback" not in full.stderr
    assert [file for file in full.stdout.split() if not file.endswith(".lock")] == []
