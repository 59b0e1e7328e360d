"""A dead letter is the record as it was, with why; what was said before is not said twice."""

from dataclasses import replace

from ingest.records import Failure, Received, dead_letter, header, headers

NOW = 1_795_000_000_000
FAILURE = Failure(stage="fetch", reason="not-found", error="Missing")


def received(**said: str | int) -> Received:
    told = tuple((name.replace("_", "-"), str(value).encode()) for name, value in said.items())
    return Received(
        topic="p.meta.leadgen.raw", partition=3, offset=9, key=b"1", value=b" {} ", headers=told, timestamp=NOW
    )


def test_the_bytes_are_untouched_and_the_coordinates_are_told_in_connects_words() -> None:
    letter = dead_letter(received(source="webhook"), FAILURE, now=NOW)
    assert (letter.key, letter.value) == (b"1", b" {} ")
    assert letter.headers == headers(
        {
            "source": "webhook",
            "stage": "fetch",
            "fate-reason": "not-found",
            "origin": "3@9",
            "attempt": 1,
            "first-failed-at": NOW,
            "__connect.errors.topic": "p.meta.leadgen.raw",
            "__connect.errors.partition": 3,
            "__connect.errors.offset": 9,
            "__connect.errors.stage": "fetch",
            "__connect.errors.exception.class.name": "Missing",
        }
    )


def test_a_record_that_fails_again_keeps_its_origin_its_attempt_and_when_it_failed_first() -> None:
    again = received(origin="0@1", attempt=2, first_failed_at=5, fate_reason="bad-ask", stage="fetch")
    letter = dead_letter(again, FAILURE, now=NOW)
    names = [name for name, _ in letter.headers]
    assert len(names) == len(set(names))
    assert {name: header(letter.headers, name) for name in ("origin", "attempt", "first-failed-at", "fate-reason")} == {
        "origin": "0@1",
        "attempt": "2",
        "first-failed-at": "5",
        "fate-reason": "not-found",
    }


def test_what_never_was_on_raw_has_an_origin_that_no_raw_record_has() -> None:
    raw = received()
    stranger = replace(raw, topic="p.meta.leadgen.again")
    assert (raw.origin, stranger.origin) == ("3@9", "again:3@9")
    assert replace(stranger, headers=headers({"origin": "0@1"})).origin == "0@1"


def test_a_header_of_null_says_nothing_and_the_last_one_counts() -> None:
    assert replace(received(), headers=(("source", b"webhook"), ("source", None))).header("source") is None  # type: ignore[arg-type]  # Kafka has null headers, our own type none
    assert replace(received(), headers=(("source", None), ("source", b"webhook"))).header("source") == "webhook"  # type: ignore[arg-type]  # Kafka has null headers, our own type none
