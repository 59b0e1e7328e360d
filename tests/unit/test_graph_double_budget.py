"""The Graph double counts calls as Meta does: a rolling window, refused calls too, and minutes until it is over."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.graph.errors import RefusedError
from deploy.sandbox.graph.usage import SLICES, WINDOW, Rolling, Usage

PAGE = 0
PAGE_ID = "104880339887499"


class Clock:
    """Time that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


def usage_of(clock: Clock, *, leads: int = 1) -> Usage:
    return Usage(recent_leads=lambda _: leads, now=clock)


def call(usage: Usage, times: int = 1) -> int | None:
    """Make calls; the code the last one is refused with."""
    code = None
    for _ in range(times):
        usage.count(PAGE)
        try:
            usage.check(PAGE)
            code = None
        except RefusedError as error:
            code = error.refusal.code
    return code


def header(usage: Usage) -> dict[str, object]:
    (entry,) = json.loads(usage.headers(PAGE, PAGE_ID)["x-business-use-case-usage"])[PAGE_ID]
    assert isinstance(entry, dict)
    return entry


def test_a_page_has_4800_calls_for_each_lead_of_90_days() -> None:
    usage = usage_of(Clock(), leads=2)
    assert call(usage, 9600) is None
    assert header(usage)["call_count"] == 100
    assert call(usage) == 80005


def test_a_page_without_leads_has_the_calls_of_one() -> None:
    usage = usage_of(Clock(), leads=0)
    assert call(usage, 4800) is None
    assert call(usage) == 80005


def test_the_estimate_is_in_minutes_and_waiting_that_long_helps() -> None:
    clock = Clock()
    usage = usage_of(clock)
    usage.budget(PAGE).limit = 10
    assert call(usage, 11) == 80005
    minutes = header(usage)["estimated_time_to_regain_access"]
    assert isinstance(minutes, int)
    assert WINDOW / 60 <= minutes <= WINDOW / 60 * (1 + 1 / SLICES) + 1
    clock.now += minutes * 60
    assert call(usage) is None
    assert header(usage)["estimated_time_to_regain_access"] == 0


def test_calling_while_throttled_makes_it_last_longer() -> None:
    clock = Clock()
    patient, eager = usage_of(clock), usage_of(clock)
    for usage in (patient, eager):
        usage.budget(PAGE).limit = 10
        call(usage, 11)
    for _ in range(12):
        clock.now += 3600
        call(eager, 10)
    waited = header(patient)["estimated_time_to_regain_access"]
    probed = header(eager)["estimated_time_to_regain_access"]
    assert isinstance(waited, int)
    assert isinstance(probed, int)
    assert waited < 13 * 60 < 23 * 60 < probed


def test_one_pages_calls_are_not_anothers() -> None:
    usage = usage_of(Clock())
    usage.budget(PAGE).limit = 1
    assert call(usage, 2) == 80005
    usage.count(1)
    usage.check(1)


def test_an_ordered_pause_refuses_until_it_is_over() -> None:
    clock = Clock()
    usage = usage_of(clock)
    usage.budget(PAGE).blocked_until = clock.now + 61
    assert call(usage) == 80005
    assert header(usage) == {
        "type": "leadgen",
        "call_count": 100,
        "total_cputime": 33,
        "total_time": 33,
        "estimated_time_to_regain_access": 2,
    }
    clock.now += 61
    assert call(usage) is None


def test_the_apps_own_limit_is_number_4() -> None:
    clock = Clock()
    usage = usage_of(clock)
    usage.app_limit = 5
    assert call(usage, 5) is None
    assert call(usage) == 4
    assert json.loads(usage.headers(None, "")["x-app-usage"])["call_count"] == 120
    clock.now += 3700
    assert call(usage) is None


def test_the_page_header_is_sent_only_when_switched_on() -> None:
    usage = usage_of(Clock())
    assert "x-page-usage" not in usage.headers(PAGE, PAGE_ID)
    usage.sends_page_usage = True
    assert set(json.loads(usage.headers(PAGE, PAGE_ID)["x-page-usage"])) == {
        "call_count",
        "total_cputime",
        "total_time",
    }


@given(
    pauses=st.lists(st.floats(0, 40), min_size=1, max_size=60),
    limit=st.integers(1, 20),
    window=st.sampled_from([60.0, 100.0, 86400.0]),
)
def test_waiting_as_long_as_it_says_always_leaves_room_for_a_call(
    pauses: list[float], limit: int, window: float
) -> None:
    rolling, now = Rolling(window=window), 1_795_000_000.0
    for pause in pauses:
        now += pause
        rolling.add(now)
    wait = rolling.seconds_until(limit, now)
    assert rolling.count(now + wait) < limit
    assert wait == pytest.approx(0) or wait <= window * (1 + 1 / SLICES)
