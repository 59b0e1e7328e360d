"""The client against a far side that behaves as badly as the internet, on loopback: every outcome is one of ours."""

import asyncio
import gzip
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingest.meta.client import NODE_BYTES, GraphClient
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, Unavailable
from ingest.meta.graph import LEAD_FIELDS, Answer, appsecret_proof
from ingest.meta.pages import PageAccess
from ingest.settings import AppSecret, MetaSettings

TOKEN = "EAAGplantedtoken"
SECRET = "planted-secret"
PAGE = PageAccess(page_id="9", token=SecretStr(TOKEN), app_id="77")
LEAD = b'{"id" : "1","field_data":[]}'
Outcome = TypeVar("Outcome")


@dataclass
class FarSide:
    """Answers every request with the same bytes, then keeps the connection, closes it, resets it or says no more."""

    reply: bytes
    then: str = "keep"
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((line, headers, body.decode()))
            self.asked.set()
            if self.then == "reset":
                writer.transport.abort()
                return
            writer.write(self.reply)
            await writer.drain()
            while self.then == "endless":
                writer.write(b"x" * 65536)
                await writer.drain()
            if self.then == "close":
                return


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    told = {"Content-Type": "application/json", "Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def settings(url: str) -> MetaSettings:
    return MetaSettings(
        meta_app_secrets=(AppSecret(app_id="77", secret=SecretStr(SECRET)),),
        meta_graph_url=url,
        meta_api_version="v25.0",
    )


def against(far: FarSide, ask: Callable[[GraphClient], Awaitable[Outcome]], *, timeout: float = 5.0) -> Outcome:
    """What comes of `ask` when `far` is Meta."""

    async def run() -> Outcome:
        server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                client = GraphClient(
                    session, settings(f"http://{host}:{port}"), timeout=aiohttp.ClientTimeout(total=timeout)
                )
                return await ask(client)
        finally:
            server.close()
            # The far side's own tasks end before the loop does.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)  # one turn, in which closed transports say so

    return asyncio.run(run())


def lead(client: GraphClient) -> Coroutine[Any, Any, Answer]:
    return client.lead("1", PAGE)


def failure(far: FarSide, *, timeout: float = 5.0) -> GraphError:
    with pytest.raises(GraphError) as raised:
        against(far, lead, timeout=timeout)
    return raised.value


def test_the_token_is_in_a_header_and_the_proof_beside_the_fields() -> None:
    far = FarSide(answer(LEAD, facebook_api_version="v25.0"))
    found = against(far, lead)
    [(line, headers, body)] = far.requests
    method, target, _ = line.split(" ")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}

    assert found.body.encode() == LEAD
    assert (method, urlsplit(target).path, body) == ("GET", "/v25.0/1", "")
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert asked == {
        "fields": ",".join(LEAD_FIELDS),
        "appsecret_proof": appsecret_proof(SecretStr(TOKEN), SecretStr(SECRET)),
    }


def test_a_page_of_a_foreign_app_is_asked_without_a_proof() -> None:
    far = FarSide(answer(LEAD))
    against(far, lambda client: client.lead("1", PageAccess(page_id="9", token=SecretStr("x"), app_id="78")))

    assert "appsecret_proof" not in far.requests[0][0]


def test_a_batch_carries_its_tokens_in_the_body() -> None:
    far = FarSide(answer(json.dumps([{"code": 200, "body": LEAD.decode()}, None]).encode()))
    first, second = against(far, lambda client: client.leads_batch([("1", PAGE), ("2", PAGE)]))
    [(line, headers, body)] = far.requests

    assert isinstance(first, Answer)
    assert isinstance(second, Unavailable)
    assert line == "POST /v25.0/ HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body)["access_token"] == [TOKEN]
    assert len(json.loads(parse_qs(body)["batch"][0])) == 2


def test_a_form_is_asked_for_like_a_lead() -> None:
    far = FarSide(answer(b'{"id":"7","name":"n"}'))

    assert against(far, lambda client: client.form("7", PAGE)).parsed["name"] == "n"


@pytest.mark.parametrize(
    ("far", "reason"),
    [
        (FarSide(b""), "timeout"),
        (FarSide(b"HTTP/1.1 200 OK\r\nContent-Le"), "timeout"),
        (FarSide(answer(LEAD, Content_Length="1000")), "timeout"),
    ],
)
def test_a_far_side_that_says_no_more_is_given_up(far: FarSide, reason: str) -> None:
    assert failure(far, timeout=0.05).reason == reason


@pytest.mark.parametrize(
    ("far", "reason"),
    [
        (FarSide(b"", then="reset"), "no-connection"),
        (FarSide(b"", then="close"), "no-connection"),
        (FarSide(b"SSH-2.0-OpenSSH_9.2\r\n", then="close"), "no-connection"),
        (FarSide(answer(LEAD, Content_Length="1000"), then="close"), "truncated"),
        (FarSide(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"id', then="close"), "truncated"),
        (FarSide(answer(b"not gzip", Content_Encoding="gzip")), "truncated"),
        (FarSide(answer(LEAD[:-5])), "not-json"),
        (FarSide(answer(b"<html>Sorry</html>", Content_Type="text/html")), "not-json"),
        (FarSide(answer(b"<html>Bad Gateway</html>", "502 Bad Gateway")), "server-error"),
        (FarSide(answer(b"")), "empty"),
        (FarSide(answer(b"", "204 No Content")), "empty"),
        (FarSide(answer(LEAD.replace(b"1", b"2"))), "another-object"),
        (FarSide(answer(b'{"id":"\xff"}')), "not-utf8"),
        (FarSide(answer(b"x" * (NODE_BYTES + 1))), "too-large"),
        (FarSide(b"HTTP/1.1 200 OK\r\n\r\n", then="endless"), "too-large"),
        (FarSide(answer(gzip.compress(b" " * (NODE_BYTES * 8)), Content_Encoding="gzip")), "too-large"),
    ],
)
def test_a_broken_answer_is_unavailable(far: FarSide, reason: str) -> None:
    error = failure(far)

    # What is too large will be so again; anything else may be whole the next time.
    assert type(error) is (BadAsk if reason == "too-large" else Unavailable)
    assert error.reason == reason


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await GraphClient(session, settings("http://127.0.0.1:1")).lead("1", PAGE)

    with pytest.raises(Unavailable) as raised:
        asyncio.run(run())
    assert raised.value.reason == "no-connection"


def test_a_name_that_is_not_one_is_unavailable() -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            await GraphClient(session, settings("http://[")).lead("1", PAGE)

    with pytest.raises(Unavailable):
        asyncio.run(run())


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed_with_a_token(status: str) -> None:
    far = FarSide(answer(b"", status, Location="/v25.0/2"))

    assert failure(far).reason == "redirected"
    assert len(far.requests) == 1


def test_metas_refusals_come_through_as_their_class() -> None:
    dead = FarSide(answer(b'{"error":{"code":190,"error_subcode":460}}', "400 Bad Request"))
    gone = FarSide(answer(b'{"error":{"code":100,"error_subcode":33}}', "400 Bad Request"))

    assert type(failure(dead)) is AccessLost
    assert type(failure(gone)) is Missing


def test_what_is_no_id_is_never_sent() -> None:
    far = FarSide(answer(LEAD))
    with pytest.raises(BadAsk):
        against(far, lambda client: client.lead("me", PAGE))

    assert far.requests == []


def test_a_compressed_answer_is_kept_as_it_was_before() -> None:
    far = FarSide(answer(gzip.compress(LEAD), Content_Encoding="gzip"))

    assert against(far, lead).body.encode() == LEAD


def test_calls_share_a_connection_and_a_failing_one_does_not_cost_it() -> None:
    async def three(client: GraphClient) -> None:
        for _ in range(3):
            with suppress(GraphError):
                await client.lead("2", PAGE)

    far = FarSide(answer(LEAD))
    against(far, three)

    assert (len(far.requests), far.connections) == (3, 1)


def test_a_cancelled_call_ends_as_cancelled() -> None:
    async def cancelled(client: GraphClient) -> bool:
        task = asyncio.create_task(lead(client))
        await far.asked.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    far = FarSide(b"")
    assert against(far, cancelled)


def test_another_version_than_the_one_asked_for_is_told_once() -> None:
    async def twice(client: GraphClient) -> None:
        await lead(client)
        await lead(client)

    with capture_logs() as told:
        against(FarSide(answer(LEAD, facebook_api_version="v20.0")), twice)
        against(FarSide(answer(LEAD, facebook_api_version="v25.0")), twice)
        against(FarSide(answer(LEAD, facebook_api_version="latest")), twice)

    assert told == [{"event": "graph.version", "log_level": "warning", "asked": "v25.0", "served": "v20.0"}]


def counted(ask: str, end: str) -> float:
    return REGISTRY.get_sample_value("leadstream_graph_calls_total", {"ask": ask, "end": end}) or 0.0


def test_every_call_is_counted_by_how_it_ended() -> None:
    before = counted("lead", "answered"), counted("lead", "token-invalid")
    against(FarSide(answer(LEAD)), lead)
    failure(FarSide(answer(b'{"error":{"code":190}}', "400 Bad Request")))

    assert (counted("lead", "answered"), counted("lead", "token-invalid")) == (before[0] + 1, before[1] + 1)


HANGS = FarSide(b"")
ENDS_EARLY = FarSide(answer(LEAD, Content_Length="1000"), then="close")
REDIRECTS = FarSide(answer(b"", "302 Found", Location=f"http://127.0.0.1:1/?access_token={TOKEN}"))
ECHOES = FarSide(answer(TOKEN.encode()))
QUOTES = FarSide(answer(json.dumps({"error": {"code": 190, "message": TOKEN, "fbtrace_id": f"{TOKEN} "}}).encode()))


@pytest.mark.parametrize("far", [HANGS, ENDS_EARLY, REDIRECTS, ECHOES, QUOTES])
def test_no_error_shows_a_token(far: FarSide, caplog: pytest.LogCaptureFixture) -> None:
    """Not in its text, its attributes or its chain, nor in what libraries log."""
    caplog.set_level(logging.DEBUG)
    error = failure(far, timeout=0.05)
    shown = f"{error!r} {error} {vars(error)} {caplog.text}"

    assert error.__context__ is None
    assert error.__cause__ is None
    for planted in (TOKEN, SECRET):
        assert planted not in shown


@pytest.mark.parametrize("far", [HANGS, ENDS_EARLY])
def test_a_traceback_shows_no_token_even_with_the_values_of_its_locals(far: FarSide) -> None:
    """As crash reporters and rich tracebacks print them."""
    frames = traceback.TracebackException.from_exception(failure(far, timeout=0.05), capture_locals=True)
    ours = [frame.locals for frame in frames.stack if "/ingest/" in frame.filename]

    assert ours
    for planted in (TOKEN, SECRET):
        assert planted not in str(ours)
