"""What a sender is told, and what is true when it is told 200."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingest import connection, door
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.records import DEAD, OTHER, RAW, UPDATES
from tests.door import APP_SECRET, VERIFY_TOKEN, Broker, Opened, leadgen, open_door, post_of, signed

LEAD = 55459717045641545
ONE = post_of(leadgen(LEAD))
HEADERS = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\n"
SIGNED = HEADERS + b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"  # well formed, and no more can be known yet
Scenario = Callable[[Opened, Broker], Awaitable[None]]


def play(scenario: Scenario, **settings: object) -> None:
    async def run() -> None:
        broker = Broker()
        async with open_door(broker, **settings) as opened:
            await scenario(opened, broker)
            await until(lambda: opened.door.in_flight == 0)

    asyncio.run(asyncio.wait_for(run(), 20))


async def until(true: Callable[[], bool]) -> None:
    """Gives the loop turns until it is so; `play` ends what never is."""
    while not true():  # noqa: ASYNC110  what is waited for is a number inside the door
        await asyncio.sleep(0)


async def status_line(reader: asyncio.StreamReader) -> str:
    return (await reader.readline()).decode().strip()


def count(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0


# The handshake


def test_the_callback_is_verified_with_the_challenge_and_nothing_else() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.get(
            **{"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}
        )
        assert (got.status, got.body) == (200, b"1158201444")

    play(scenario)


def test_a_challenge_is_no_page_that_a_browser_would_run() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        script = "<script>alert(1)</script>"
        got = await opened.sender.get(
            **{"hub.mode": "subscribe", "hub.challenge": script, "hub.verify_token": VERIFY_TOKEN}
        )
        assert got.body == script.encode()
        assert got.headers["Content-Type"].startswith("text/plain")
        assert got.headers["X-Content-Type-Options"] == "nosniff"

    play(scenario)


def test_another_verify_token_is_refused() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.get(
            **{"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "x"}
        )
        assert got.status == 403
        assert b"1158201444" not in got.body

    play(scenario)


# What a 200 means


def test_a_delivery_is_accepted_with_every_change_in_the_broker() -> None:
    body = post_of(leadgen(LEAD), leadgen(LEAD + 1), {"field": "feed"}, 5)

    async def scenario(opened: Opened, broker: Broker) -> None:
        assert (await opened.sender.post(body)).status == 200
        assert [record.topic for record in broker.records] == [RAW, RAW, OTHER, DEAD]

    play(scenario)


def test_nothing_is_accepted_before_the_broker_has_acknowledged_it() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        answer = asyncio.create_task(opened.sender.post(ONE))
        await broker.asked.wait()
        assert not answer.done()
        broker.open.set()
        assert (await answer).status == 200

    play(scenario)


def test_a_delivery_that_is_not_acknowledged_in_time_is_to_be_sent_again() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        began = asyncio.get_running_loop().time()
        got = await opened.sender.post(ONE)
        assert (got.status, got.headers["Retry-After"]) == (503, "5")
        assert asyncio.get_running_loop().time() - began < 5
        broker.open.set()
        assert (await opened.sender.post(ONE)).status == 200

    play(scenario, ingest_ack_timeout=0.02)


def test_a_delivery_that_the_broker_refuses_is_to_be_sent_again() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.refusal = lambda: NotAcknowledged("NOT_ENOUGH_REPLICAS")
        got = await opened.sender.post(ONE)
        assert (got.status, got.headers["Retry-After"]) == (503, "5")
        assert not opened.fatal.is_set()

    play(scenario)


def test_a_producer_that_can_promise_no_more_ends_the_process() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.refusal = ProducerFailed
        assert (await opened.sender.post(ONE)).status == 503
        assert opened.fatal.is_set()

    play(scenario)


def test_a_defect_of_ours_is_to_be_sent_again_and_tells_only_where_it_is() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.refusal = lambda: RuntimeError("planted")
        with capture_logs() as lines:
            got = await opened.sender.post(ONE)
        assert got.status == 500
        assert [line["event"] for line in lines] == ["door.defect"]
        assert "RuntimeError at door.py:" in lines[0]["reason"]
        assert "planted" not in str(lines) + got.body.decode()

    play(scenario)


def test_a_delivery_of_nothing_is_accepted() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        assert (await opened.sender.post(post_of())).status == 200
        assert broker.records == []

    play(scenario)


# What is refused


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": "sha256=" + "0" * 63},
        signed(ONE, "another secret"),
        signed(ONE + b" "),
    ],
)
def test_a_delivery_that_nobody_of_ours_signed_is_refused(headers: dict[str, str]) -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.post(ONE, headers)
        assert got.status == 401
        assert "subscribe the page to the leadgen field" in got.said["do"]
        assert broker.records == []

    play(scenario)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"object":"page"}', 400),
        (b'{"facebook_lead_id":["1"],"email":["planted@example.com"]}', 422),
    ],
)
def test_what_is_no_delivery_is_refused_with_a_sentence_on_what_to_do(body: bytes, status: int) -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.post(body)
        assert got.status == status
        assert got.said.keys() == {"error", "do"}
        assert "planted" not in got.body.decode()

    play(scenario)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(HEADERS, 401, id="unsigned"),
        pytest.param(HEADERS + b"X-Hub-Signature: sha1=" + b"0" * 40 + b"\r\n", 401, id="sha1"),
        pytest.param(SIGNED.replace(b"000\r\n", b"\r\n"), 401, id="malformed"),
        pytest.param(SIGNED + b"Content-Encoding: gzip\r\n", 415, id="compressed"),
    ],
)
def test_no_body_is_waited_for_where_the_headers_are_enough(head: bytes, status: int) -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(head + b"Content-Length: 1000\r\n\r\n")
        assert str(status) in await status_line(reader)
        writer.close()

    play(scenario)


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(SIGNED + b"Content-Length: 65537\r\n\r\n")
        assert "413" in await status_line(reader)
        writer.close()

    play(scenario, ingest_max_body=2**16)


def test_an_endless_body_is_read_to_the_limit_and_no_further() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(SIGNED + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
        answer = asyncio.create_task(status_line(reader))
        sent = 0
        while not answer.done():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            sent += 0x1000
            assert opened.door.in_flight <= 2**17
        assert "413" in await answer
        assert sent > 2**16
        writer.close()

    play(scenario, ingest_max_body=2**16)


def test_a_body_in_chunks_is_taken_like_any_other() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        async def pieces() -> object:
            for at in range(0, len(ONE), 10):
                yield ONE[at : at + 10]

        async with opened.sender.session.post(opened.sender.url, data=pieces(), headers=signed(ONE)) as got:
            assert got.status == 200
        assert [record.topic for record in broker.records] == [RAW]

    play(scenario)


def test_a_compressed_body_is_not_taken() -> None:
    body = gzip.compress(ONE)

    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.post(body, signed(body) | {"Content-Encoding": "gzip"})
        assert got.status == 415

    play(scenario)


def test_no_body_is_ever_inflated_whatever_its_headers_say() -> None:
    """What is verified and read are the bytes that were sent; a small body cannot become a large one."""
    body = gzip.compress(ONE)
    head = HEADERS + b"X-Hub-Signature-256: " + signed(body)["X-Hub-Signature-256"].encode() + b"\r\n"
    head += b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(head + body)
        assert "400" in await status_line(reader)
        writer.close()

    play(scenario)


def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.05)

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(SIGNED + b"Content-Length: 1000\r\n\r\n" + b"x" * 500)
        assert "408" in await status_line(reader)
        writer.close()

    play(scenario)


def test_a_connection_that_never_finishes_its_headers_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.05)

    async def scenario(opened: Opened, broker: Broker) -> None:
        reader, writer = await opened.sender.connect()
        writer.write(HEADERS)
        assert await reader.read() == b""
        writer.close()

    play(scenario)


def test_a_sender_that_goes_away_costs_nothing() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        gone = count("leadstream_deliveries_total", status="499")
        _, writer = await opened.sender.connect()
        writer.write(SIGNED + b"Content-Length: 1000\r\n\r\n" + b"x" * 500)
        await until(lambda: opened.door.in_flight == 500)
        writer.transport.abort()
        await until(lambda: opened.door.in_flight == 0)
        assert count("leadstream_deliveries_total", status="499") == gone + 1

    play(scenario)


def test_a_delivery_whose_sender_has_gone_is_still_delivered() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        post = asyncio.create_task(opened.sender.post(ONE))
        await broker.asked.wait()
        post.cancel()
        broker.open.set()
        await until(lambda: len(broker.records) == 1)

    play(scenario)


@pytest.mark.parametrize(("path", "status"), [("/", 404), ("/metrics", 404), ("/health", 404), ("/webhook/", 404)])
def test_there_is_nothing_else_on_the_public_port(path: str, status: int) -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        got = await opened.sender.get(opened.sender.url.removesuffix("/webhook") + path)
        assert got.status == status
        assert "Server" not in got.headers

    play(scenario)


# What is bounded


def test_too_much_in_flight_is_refused_before_it_is_read_and_taken_again_later() -> None:
    # Three bodies of half the limit of one: with two of them open there is no room for a third.
    large = post_of(leadgen(LEAD), {"field": "about", "value": "x" * 600_000})

    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        first = asyncio.create_task(opened.sender.post(large))
        await broker.asked.wait()
        reader, writer = await opened.sender.connect()
        writer.write(SIGNED + b"Content-Length: 600000\r\n\r\n")
        assert "503" in await status_line(reader)
        assert "Retry-After: 5" in (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
        broker.open.set()
        assert (await first).status == 200
        assert (await opened.sender.post(large)).status == 200

    play(scenario, ingest_max_body=2**20, ingest_max_in_flight=2**20)


def test_many_small_changes_count_for_more_than_their_bytes_and_a_delivery_alone_always_fits() -> None:
    """Three hundred changes are 30 kB of body, and 1.5 MB of memory while the broker is waited for."""
    many = post_of(*(leadgen(LEAD) for _ in range(300)))

    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        first = asyncio.create_task(opened.sender.post(many))
        await broker.asked.wait()
        assert opened.door.in_flight > 300 * door.RECORD_BYTES > 2**20
        assert (await opened.sender.post(ONE)).status == 503
        broker.open.set()
        assert (await first).status == 200
        assert opened.door.in_flight == 0
        assert (await opened.sender.post(ONE)).status == 200

    play(scenario, ingest_max_body=2**20, ingest_max_in_flight=2**20)


def test_what_the_last_delivery_cost_tells_what_the_next_will_before_it_is_read() -> None:
    """Read and then refused, it would take the time of those that are accepted."""
    many = post_of(*(leadgen(LEAD) for _ in range(300)))

    async def scenario(opened: Opened, broker: Broker) -> None:
        broker.open.clear()
        first = asyncio.create_task(opened.sender.post(many))
        await broker.asked.wait()
        reader, writer = await opened.sender.connect()
        writer.write(SIGNED + f"Content-Length: {len(many)}\r\n\r\n".encode())  # and nothing of the body
        assert "503" in await status_line(reader)
        writer.close()
        broker.open.set()
        assert (await first).status == 200
        assert (await opened.sender.post(many)).status == 200

    play(scenario, ingest_max_body=2**20, ingest_max_in_flight=2 * 2**20)


def test_bodies_that_grow_together_beyond_the_limit_are_refused() -> None:
    """None of them alone is too much, and when each began there was room."""

    async def scenario(opened: Opened, broker: Broker) -> None:
        streams = [await opened.sender.connect() for _ in range(3)]
        for _, writer in streams:
            writer.write(SIGNED + b"Content-Length: 500000\r\n\r\n" + b"x" * 100)
        await until(lambda: opened.door.in_flight == 300)
        answers = [asyncio.create_task(status_line(reader)) for reader, _ in streams]
        for _, writer in streams:
            writer.write(b"x" * 400_000)
        done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert all("503" in answer.result() for answer in done)
        assert opened.door.in_flight <= 2**20
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.wait(answers)

    play(scenario, ingest_max_body=2**20, ingest_max_in_flight=2**20)


def test_senders_who_announce_much_and_send_little_keep_nobody_out() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        streams = [await opened.sender.connect() for _ in range(20)]
        for _, writer in streams:
            writer.write(SIGNED + b"Content-Length: 1000000\r\n\r\nx")
        await until(lambda: opened.door.in_flight == 20)
        assert (await opened.sender.post(ONE)).status == 200
        for _, writer in streams:
            writer.transport.abort()

    play(scenario, ingest_max_body=2**20, ingest_max_in_flight=2**20)


# What is told


def test_what_was_acknowledged_is_counted_by_topic() -> None:
    update = {"field": "leadgen_update", "value": {"leadgen_id": 1}}
    body = post_of(leadgen(444444444444), leadgen(1), update, {"field": "feed"}, {"field": "leadgen", "value": 1})
    counted = {
        ("leadstream_changes_total", "topic", RAW): 2,
        ("leadstream_changes_total", "topic", UPDATES): 1,
        ("leadstream_changes_total", "topic", OTHER): 1,
        ("leadstream_changes_total", "topic", DEAD): 1,
        ("leadstream_deliveries_total", "status", "200"): 1,
        ("leadstream_deliveries_total", "status", "503"): 1,
        ("leadstream_acknowledge_seconds_count", "", ""): 1,
        ("leadstream_samples_total", "", ""): 1,
    }

    def counts() -> dict[tuple[str, str, str], float]:
        return {(m, name, value): count(m, **({name: value} if name else {})) for m, name, value in counted}

    async def scenario(opened: Opened, broker: Broker) -> None:
        before = counts()
        dead = count("leadstream_dead_letters_total", stage="ingest", reason="value-not-an-object")
        broker.refusal = NotAcknowledged
        await opened.sender.post(body)  # not counted as changes: it comes again
        broker.refusal = None
        await opened.sender.post(body)
        assert {name: after - before[name] for name, after in counts().items()} == counted
        assert count("leadstream_dead_letters_total", stage="ingest", reason="value-not-an-object") == dead + 1

    play(scenario)


def test_values_that_are_switched_off_are_an_alarm() -> None:
    body = b'{"object":"page","entry":[{"id":"5","time":1,"changed_fields":["leadgen"]}]}'

    async def scenario(opened: Opened, broker: Broker) -> None:
        before = count("leadstream_values_switched_off_total")
        with capture_logs() as lines:
            assert (await opened.sender.post(body)).status == 200
        assert [(line["event"], line["log_level"]) for line in lines] == [("door.values-switched-off", "error")]
        assert count("leadstream_values_switched_off_total") == before + 1
        assert [record.topic for record in broker.records] == [OTHER]

    play(scenario)


def test_a_flood_of_refusals_is_one_line_in_the_log() -> None:
    async def scenario(opened: Opened, broker: Broker) -> None:
        with capture_logs() as lines:
            for _ in range(20):
                await opened.sender.post(ONE, {})
        assert [(line["event"], line["reason"], line["times"]) for line in lines] == [("door.refused", "missing", 1)]

    play(scenario)


def test_nothing_that_was_sent_is_ever_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aiohttp")
    planted = {"field": "leadgen", "value": {"leadgen_id": "planted-id", "field_data": ["planted@example.com"]}}
    bodies = [post_of(planted), json.dumps({"facebook_lead_id": ["planted"]}).encode(), b"planted"]

    async def scenario(opened: Opened, broker: Broker) -> None:
        with capture_logs() as lines:
            for refusal in (None, NotAcknowledged, ProducerFailed):
                broker.refusal = refusal
                for body in bodies:
                    await opened.sender.post(body)
                    await opened.sender.post(body, {"X-Hub-Signature-256": "planted"})
                await opened.sender.get(**{"hub.mode": "subscribe", "hub.verify_token": "planted"})
        assert lines
        assert "planted" not in str(lines)
        assert APP_SECRET not in str(lines)
        assert caplog.text == ""

    play(scenario)
