"""The Graph double as a process: killed without warning, it answers Meta's SDK as before once it is started again."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession

from deploy.sandbox.graph.admin import GraphAdmin


@contextmanager
def process(directory: Path, *more: str, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The double as `sandbox up` starts it, and its URL; ended however the block ends."""
    command = [sys.executable, "-m", "deploy.sandbox.graph", "--port", str(port), "--state", str(directory), *more]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        yield started, line.rpartition(" ")[2].strip()
    finally:
        started.kill()
        started.communicate()


def leads_of(url: str, form: str, token: str) -> list[dict[str, object]]:
    session = FacebookSession(access_token=token)
    session.GRAPH = url  # the SDK's own place for the host
    api = FacebookAdsApi(session, api_version="v25.0")
    fields = ["id", "created_time", "field_data", "ad_id", "is_organic"]
    return [lead.export_all_data() for lead in LeadgenForm(form, api=api).get_leads(fields=fields)]


def test_after_sigkill_everything_announced_is_there_again(tmp_path: Path) -> None:
    with process(tmp_path) as (double, url):
        admin = GraphAdmin(url)
        page = admin.pages()[1]
        form = page.form_ids[0]
        admin.make_leads(form, 30, over=1000)
        made = admin.make_lead(form, {"field_data": [{"name": "e-mail-adresse", "values": ["x@example.com"]}]})
        admin.edit_form(form, name="Renamed")
        admin.make_leads(form, 5)
        admin.delete_lead(made)
        token = admin.replace_token(page.page_id)
        before = leads_of(url, form, token)
        assert len(before) > 35
        double.send_signal(signal.SIGKILL)
        double.wait()
    with process(tmp_path) as (_, url):
        assert leads_of(url, form, token) == before
        assert GraphAdmin(url).forms(page.page_id)[0].name == "Renamed"


def test_sigterm_ends_it_at_once_and_cleanly_even_while_it_delivers_and_hangs(tmp_path: Path) -> None:
    with process(tmp_path) as (double, url):
        admin = GraphAdmin(url)
        admin.deliver("http://127.0.0.1:1/nobody", 50)
        admin.fault("hang")
        waiting = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        waiting.sendall(b"GET /v25.0/me HTTP/1.1\r\nHost: graph\r\n\r\n")
        while admin.met(1) == 0:
            pass
        started = time.monotonic()
        double.send_signal(signal.SIGTERM)
        assert double.wait(timeout=10) == 0
        assert time.monotonic() - started < 5
        assert double.stderr is not None
        assert double.stderr.read() == "", "it prints nothing about requests"
        waiting.close()


def test_a_taken_port_and_another_seed_are_told_in_a_sentence(tmp_path: Path) -> None:
    with process(tmp_path / "one") as (_, url):
        port = int(url.rpartition(":")[2])
        with process(tmp_path / "two", port=port) as (second, _):
            assert second.wait(timeout=10) == 1
            assert second.stderr is not None
            assert str(port) in second.stderr.read()
    with process(tmp_path / "one", "--seed", "2") as (other, _):
        assert other.wait(timeout=10) == 1
        assert other.stderr is not None
        assert "--seed 1" in other.stderr.read()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_on_both_signals(tmp_path: Path, kind: signal.Signals) -> None:
    with process(tmp_path) as (double, _):
        double.send_signal(kind)
        assert double.wait(timeout=10) == 0
