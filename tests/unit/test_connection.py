"""Plain deliveries, which never reach aiohttp's server, are answered and bounded as by it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st

from ingest import connection
from ingest.app import PublicPort
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.plain import LONGEST_HEAD, plain
from ingest.records import RAW
from tests.door import Broker, Opened, Sender, leadgen, listening, open_door, post_of, signed

ONE = post_of(leadgen(55459717045641545))
LINE = b"POST /webhook HTTP/1.1\r\n"
DIGEST = "ab" * 32
SIGNATURE = f"X-Hub-Signature-256: sha256={DIGEST}".encode()
USUAL = (b"Host: door", b"Accept: */*", b"Content-Type: application/json", SIGNATURE, b"Content-Length: 5")


def head(*lines: bytes, request: bytes = LINE) -> bytes:
    return request + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def request(body: bytes, *more: bytes, headers: dict[str, str] | None = None) -> bytes:
    said = signed(body) if headers is None else headers
    lines = [f"{name}: {value}".encode() for name, value in said.items()]
    return head(b"Host: door", *lines, b"Content-Length: %d" % len(body), *more) + body


def play(scenario: Callable[[Opened, Broker], Awaitable[None]], **settings: object) -> None:
    async def run() -> None:
        broker = Broker()
        async with open_door(broker, **settings) as opened:
            await scenario(opened, broker)

    asyncio.run(asyncio.wait_for(run(), 20))


async def answers(reader: asyncio.StreamReader, many: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    found = []
    for _ in range(many):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
        headers = dict(line.split(": ") for line in lines)
        found.append((int(first.split()[1]), headers, await reader.readexactly(int(headers["Content-Length"]))))
    return found


async def told(sender: Sender, *pieces: bytes, many: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """The answers to what is sent over a connection by hand, without their dates."""
    reader, writer = await sender.connect()
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    found = await answers(reader, many)
    writer.close()
    for _, headers, _ in found:
        assert headers.pop("Date").endswith("GMT")
    return found


# What is plain


@pytest.mark.parametrize(
    "lines",
    [
        USUAL,
        USUAL[::-1],
        (SIGNATURE.lower(), b"content-length:5"),
        (SIGNATURE, b"Content-Length: 5", b"Connection: keep-alive", b"X-Forwarded-For: 1.2.3.4", b"Empty:"),
        (SIGNATURE, b"Content-Length: 5", b"X-Hub-Signature: sha1=" + b"0" * 40),
    ],
)
def test_a_head_as_meta_and_proxies_send_it_is_plain(lines: tuple[bytes, ...]) -> None:
    sent = head(*lines)
    assert plain(sent + b"12345") == (bytes.fromhex(DIGEST), 5, len(sent))


@pytest.mark.parametrize(
    "sent",
    [
        head(*USUAL, b"Content-Length: 5"),
        head(*USUAL, SIGNATURE),
        head(*USUAL, b"Transfer-Encoding: chunked"),
        head(*USUAL, b"Content-Encoding: identity"),
        head(*USUAL, b"Expect: 100-continue"),
        head(*USUAL, b"Upgrade: h2c"),
        head(*USUAL, b"Connection: close"),
        head(*USUAL, b"Connection: keep-alive, upgrade"),
        head(*USUAL, b"X: 1", b" folded"),
        head(*USUAL, b"Content-Length : 5"),
        head(*USUAL, b"X: nul\0"),
        head(*USUAL, b"X: bare\rreturn"),
        head(*USUAL, b"X: bare\nline"),
        head(*USUAL, b": no name"),
        head(*USUAL[:-1], b"Content-Length: +5"),
        head(*USUAL[:-1], b"Content-Length: 5, 5"),
        head(*USUAL[:-1], b"Content-Length: 0x5"),
        head(*USUAL[:-1]),
        head(USUAL[-1]),
        head(USUAL[-1], SIGNATURE[:-1]),
        head(USUAL[-1], SIGNATURE + b" "),
        head(*USUAL)[:-2],
        head(*USUAL, request=b"POST /webhook HTTP/1.0\r\n"),
        head(*USUAL, request=b"POST /webhook?a=b HTTP/1.1\r\n"),
        head(*USUAL, request=b"POST http://door/webhook HTTP/1.1\r\n"),
        head(*USUAL, request=b"PUT /webhook HTTP/1.1\r\n"),
        head(*USUAL, request=b"\r\nPOST /webhook HTTP/1.1\r\n"),
        head(*USUAL, b"X: " + b"x" * LONGEST_HEAD),
    ],
)
def test_a_head_that_needs_thought_is_left_to_aiohttp(sent: bytes) -> None:
    assert plain(sent + b"12345") is None


LINES = st.one_of(
    st.sampled_from(
        [*USUAL, b"Content-Length: 7", b"Transfer-Encoding: chunked", b"transfer-encoding:gzip", b"Connection: close"]
    ),
    st.sampled_from([b"Connection: keep-alive", b"Content-Encoding: gzip", b"Upgrade: x", b" folded", b"Host:", b""]),
    st.binary(max_size=12),
    st.builds(lambda name, value: name + b":" + value, st.binary(max_size=6), st.binary(max_size=6)),
)


@given(st.lists(LINES, max_size=6).map(lambda more: [*USUAL[3:], *more]).flatmap(st.permutations))
def test_what_is_plain_means_the_same_to_aiohttp(lines: list[bytes]) -> None:
    """Nobody can say one thing to a proxy that aiohttp would understand and another to us."""
    sent = head(*lines)
    found = plain(sent + b"12345")
    if found is None:
        return
    _, length, at = found

    async def parsed() -> None:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, auto_decompress=False)
        try:
            [(message, payload), *_], upgraded, _ = parser.feed_data(sent + b"1" * length)
        except HttpProcessingError:
            return  # stricter in what costs nothing here, as the bytes of a value that nobody reads
        assert (message.method, message.path, message.should_close, upgraded) == ("POST", "/webhook", False, False)
        assert (message.chunked, message.compression, message.upgrade) == (False, None, False)
        assert message.headers["Content-Length"] == str(length)
        assert message.headers["X-Hub-Signature-256"] == f"sha256={DIGEST}"
        assert payload.total_bytes == length
        assert at == len(sent)

    asyncio.run(parsed())


# How it is answered


@pytest.mark.parametrize("refusal", [None, NotAcknowledged, ProducerFailed, RuntimeError])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE, None),
        (ONE, {"X-Hub-Signature-256": f"sha256={DIGEST}"}),
        (b"", None),
        (b"{", None),
        (b'{"facebook_lead_id":["1"]}', None),
    ],
)
def test_it_is_answered_as_aiohttp_would(
    body: bytes, headers: dict[str, str] | None, refusal: type[Exception] | None
) -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.refusal = refusal
        plainly = request(body, headers=headers)
        thoughtfully = request(body, b"Content-Encoding: identity", headers=headers)
        assert plain(plainly) is not None
        assert plain(thoughtfully) is None
        ours, theirs = await told(opened.sender, plainly), await told(opened.sender, thoughtfully)
        assert ours == theirs

    play(scenario)


def test_a_body_in_pieces_is_one_delivery() -> None:
    sent = request(ONE)

    async def scenario(opened: Opened, broker: Broker) -> None:
        [(status, _, _)] = await told(opened.sender, sent[:-100], sent[-100:-50], sent[-50:])
        assert status == 200
        assert [record.topic for record in broker.records] == [RAW]
        assert opened.door.in_flight == 0

    play(scenario)


@pytest.mark.parametrize("cut", [0, 40, -30])
def test_deliveries_that_do_not_wait_for_answers_are_answered_in_their_order(cut: int) -> None:
    """However they are cut: what comes behind one that waits for the broker waits with it."""
    sent = request(ONE) + request(b"{") + request(ONE) + request(b"[]", headers={}) + request(ONE)

    async def scenario(opened: Opened, broker: Broker) -> None:
        pieces = [sent[:cut], sent[cut:]] if cut else [sent]
        assert [status for status, _, _ in await told(opened.sender, *pieces, many=5)] == [200, 400, 200, 401, 200]
        assert len(broker.records) == 3

    play(scenario)


def test_what_comes_behind_an_open_delivery_waits_for_it() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        reader, writer = await opened.sender.connect()
        writer.write(request(ONE))
        await broker.asked.wait()
        writer.write(request(b"{") + request(ONE))
        refused = asyncio.create_task(answers(reader, 3))
        assert await opened.sender.get() is not None  # others are served meanwhile
        assert not refused.done()
        broker.open.set()
        assert [status for status, _, _ in await refused] == [200, 400, 200]
        writer.close()

    play(scenario)


def test_a_connection_is_aiohttps_from_the_first_request_that_is_not_plain() -> None:
    plainly, thoughtfully = request(ONE), request(ONE, b"Content-Encoding: identity")

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        for sent in (plainly, thoughtfully, plainly):
            writer.write(sent)
            assert [status for status, _, _ in await answers(reader)] == [200]
        writer.close()
        assert len(broker.records) == 3

    play(scenario)


def test_the_answer_to_a_body_that_is_not_read_is_the_last_one() -> None:
    """What else is sent is thrown away for a while, so that a sender who still writes sees the answer."""

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(head(SIGNATURE, b"Content-Length: 70000") + b"x" * 100)
        [(status, headers, _)] = await answers(reader)
        assert (status, headers["Connection"]) == (413, "close")
        writer.write(b"x" * 69_900)
        assert await reader.read() == b""
        writer.close()

    play(scenario, ingest_max_body=2**16)


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.05)

    async def scenario(opened: Opened, broker: Broker) -> None:
        silent, writer = await opened.sender.connect()
        reader, used = await opened.sender.connect()
        used.write(request(ONE))
        assert [status for status, _, _ in await answers(reader)] == [200]
        assert await silent.read() == b""
        assert await reader.read() == b""
        writer.close()
        used.close()

    play(scenario)


def test_a_sender_that_reads_no_answers_is_read_no_further() -> None:
    """Else its answers would pile up here. asyncio says when they begin to."""

    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        reader, writer = await opened.sender.connect()
        writer.write(request(ONE))
        await broker.asked.wait()
        [held] = opened.port.opened
        held.pause_writing()
        broker.open.set()
        assert [status for status, _, _ in await answers(reader)] == [200]
        writer.write(request(ONE))
        assert await opened.sender.get() is not None  # a turn in which it would be read
        assert len(broker.records) == 1
        held.resume_writing()
        assert [status for status, _, _ in await answers(reader)] == [200]
        writer.close()

    play(scenario)


def test_what_comes_behind_a_refusal_is_answered_too() -> None:
    sent = request(ONE)

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(sent[:-10])
        assert await opened.sender.get() is not None  # a turn in which it is read
        opened.door.in_flight += 64 * 2**20  # others fill the house meanwhile
        writer.write(sent[-10:] + sent[:-10])
        assert [status for status, _, _ in await answers(reader, 2)] == [503, 503]
        opened.door.in_flight -= 64 * 2**20
        writer.close()

    play(scenario)


def test_what_came_already_waits_for_a_sender_that_reads_no_answers() -> None:
    """Else one that cuts its requests so that the next always begins with the last one's end is answered on and on."""
    sent = request(ONE)

    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        reader, writer = await opened.sender.connect()
        writer.write(sent)
        await broker.asked.wait()
        writer.write(sent[:-10])
        [held] = opened.port.opened
        assert await opened.sender.get() is not None  # a turn in which it is read
        held.pause_writing()
        broker.open.set()
        assert [status for status, _, _ in await answers(reader)] == [200]
        writer.write(sent[-10:])
        assert await opened.sender.get() is not None
        assert len(broker.records) == 1
        held.resume_writing()
        assert [status for status, _, _ in await answers(reader)] == [200]
        writer.close()

    play(scenario)


def test_a_connection_whose_answers_are_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.05)

    async def scenario(opened: Opened, broker: Broker) -> None:
        _, writer = await opened.sender.connect()
        assert await opened.sender.get() is not None  # a turn in which it is accepted
        [held] = opened.port.opened
        held._transport.write(b"x" * 2**25)  # noqa: SLF001  more than the kernel takes off a door's hands
        await asyncio.wait_for(held.gone, 5)
        writer.transport.abort()
        await asyncio.sleep(0)

    play(scenario)


def test_a_port_that_could_not_be_opened_can_be_closed() -> None:
    """What went wrong is told then, and not that it was never open."""

    async def scenario(opened: Opened, broker: Broker) -> None:
        port = PublicPort(opened.door, drain=0.01)
        with listening() as sock:
            sock.close()
            with pytest.raises(OSError, match="Bad file descriptor"):
                await port.open(sock)
        await port.close()

    play(scenario)
