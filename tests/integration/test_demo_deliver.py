"""`leadstream sandbox deliver`: the double sends, and the command tells how it was answered."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.sandbox import Sandbox
from deploy.sandbox.graph.admin import GraphAdmin
from tests.programs import eventually

LEADSTREAM = Path(sys.executable).with_name("leadstream")


class Door(ThreadingHTTPServer):
    """Answers with the statuses it is given, one POST after another, and then with the last of them."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.statuses = list(statuses)
        self.posts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/webhook"


class Answering(BaseHTTPRequestHandler):
    server: Door

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts += 1
        self.send_response(self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Nothing."""


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(200) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        yield door
        door.shutdown()


def start(sandbox: Sandbox, door: Door, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LEADSTREAM, "sandbox", "deliver", "--home", str(sandbox.home), "--url", door.url, *arguments],
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(out: str) -> dict[str, str]:
    """The closing table."""
    return dict(line.rsplit(maxsplit=1) for line in out.splitlines())


def test_what_was_sent_and_how_it_was_answered_is_told_at_the_end(sandbox: Sandbox, door: Door) -> None:
    process = start(sandbox, door, "--leads", "95", "--per-post", "10", "--pages", "100")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    table = told(out)
    assert table.pop("seconds")
    assert table == {
        "leads made": "95",
        "leads acknowledged": "95",
        "POSTs": "10",
        "of them given up": "0",
        "of them unanswered": "0",
        "answered 200": "10",
        "sent again": "0",
    }


def test_a_refused_post_is_sent_again_and_counted(sandbox: Sandbox, door: Door) -> None:
    door.statuses = [503, 200]
    process = start(sandbox, door, "--leads", "1")
    out, _ = process.communicate(timeout=120)
    table = told(out)
    assert (process.returncode, door.posts) == (0, 2)
    assert (table["answered 503"], table["answered 200"], table["sent again"]) == ("1", "1", "1")


def test_ctrl_c_ends_the_sending_too(sandbox: Sandbox, door: Door) -> None:
    graph = GraphAdmin(sandbox.env()["META_GRAPH_URL"])
    graph.reset()  # the next delivery is its first
    process = start(sandbox, door, "--leads", "1000", "--per-post", "1", "--rate", "20")
    eventually(lambda: door.posts > 0, 60, "the first POST")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert told(out)["leads made"] == "1000"
    job = graph.progress(0)
    assert job.finished
    assert 0 < job.acknowledged < 1000


def test_without_a_sandbox_it_says_what_to_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [LEADSTREAM, "sandbox", "deliver", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "leadstream sandbox up" in done.stderr
