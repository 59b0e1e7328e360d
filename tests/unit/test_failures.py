"""Where a record waits follows from what went wrong and how often. What was fetched lately is remembered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import PARKED, RETRY, Received, headers
from processors.access import Standing
from processors.failures import Aside, Ladder, is_expired, parked
from processors.recent import RecentLeads

NOW = 1_795_000_000_000
LADDER = Ladder(delays=(60.0, 600.0, 3600.0))


def tried(attempt: int | None) -> Received:
    said = headers({"attempt": attempt}) if attempt is not None else ()
    return Received(topic="t", partition=0, offset=1, key=b"1", value=b"", headers=said, timestamp=NOW)


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (None, Aside(topic=RETRY[0], fate="waiting", reason="timeout", attempt=2)),
        (1, Aside(topic=RETRY[0], fate="waiting", reason="timeout", attempt=2)),
        (3, Aside(topic=RETRY[2], fate="waiting", reason="timeout", attempt=4)),
        (4, Aside(topic=PARKED, fate="parked", reason="exhausted", attempt=4)),
        (9, Aside(topic=PARKED, fate="parked", reason="exhausted", attempt=9)),
    ],
)
def test_each_try_is_a_rung_and_the_last_is_parked(attempt: int | None, expected: Aside) -> None:
    assert LADDER.unanswered(tried(attempt), "timeout") == expected


@given(left=st.floats(min_value=-100, max_value=100_000), attempt=st.integers(1, 9))
def test_a_pause_takes_the_largest_rung_that_is_not_longer_and_uses_up_no_try(left: float, attempt: int) -> None:
    standing = Standing(state="paused", reason="app-limit", until=NOW + round(left * 1000))
    aside = LADDER.turned(tried(attempt), standing, now=NOW)
    shorter = [delay for delay in LADDER.delays if delay <= round(left * 1000) / 1000]
    assert LADDER.delays[RETRY.index(aside.topic)] == max(shorter, default=60.0)
    assert (aside.fate, aside.attempt) == ("waiting", attempt)


def test_what_is_broken_parks_at_once() -> None:
    standing = Standing(state="broken", reason="token-expired")
    assert LADDER.turned(tried(2), standing, now=NOW) == parked(tried(2), "token-expired")


@pytest.mark.parametrize(("days_ago", "expired"), [(0, False), (89.9, False), (90.1, True), (None, False)])
def test_a_lead_is_expired_only_after_metas_ninety_days(days_ago: float | None, expired: bool) -> None:
    created = None if days_ago is None else int(NOW / 1000 - days_ago * 86400)
    assert is_expired(created, now=NOW) is expired


def test_what_was_fetched_lately_is_forgotten_by_age() -> None:
    now = 0.0
    recent = RecentLeads(size=10, seconds=60, clock=lambda: now)
    recent.add("1", "0@1")
    now = 59.0
    assert recent.repeats("1", "0@2")
    now = 60.0
    assert not recent.repeats("1", "0@2")


def test_what_was_fetched_lately_is_forgotten_by_number_the_oldest_first() -> None:
    recent = RecentLeads(size=2, seconds=60, clock=lambda: 0.0)
    for lead in ("1", "2", "1", "3"):
        recent.add(lead, "0@1")
    assert [lead for lead in "123" if recent.repeats(lead, "0@2")] == ["1", "3"]
