"""What becomes of a failure follows from its class, and pauses are as long as Meta asks for."""

import pytest

from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget, Unavailable
from processors.failures import NoToken, Verdict, missing_reason, pause, verdict
from processors.recent import RecentLeads

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("timeout"), Verdict.HOLD),
        (OverBudget("business-limit", scope="page"), Verdict.HOLD),
        (AccessLost("token-expired", scope="token"), Verdict.HOLD),
        (AccessLost("capability", scope="app"), Verdict.FEWER_FIELDS),
        (Blocked("blocked"), Verdict.HOLD),
        (NoToken(), Verdict.HOLD),
        (Missing("not-found"), Verdict.RACE),
        (BadAsk("bad-field"), Verdict.FEWER_FIELDS),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_verdict_follows_from_the_class(error: GraphError | NoToken, expected: Verdict) -> None:
    assert verdict(error) is expected


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (OverBudget("business-limit", scope="page", regain_after=300.0), 300.0),
        (OverBudget("business-limit", scope="page"), None),
        (Blocked("blocked"), 3600.0),
        (Unavailable("timeout"), None),
    ],
)
def test_meta_is_left_alone_as_long_as_it_asks(error: GraphError, seconds: float | None) -> None:
    assert pause(error) == seconds


@pytest.mark.parametrize(
    ("days_ago", "reason"), [(0, "not-found"), (89.9, "not-found"), (90.1, "expired"), (None, "not-found")]
)
def test_a_missing_lead_is_expired_only_after_metas_ninety_days(days_ago: float | None, reason: str) -> None:
    created = None if days_ago is None else int(NOW - days_ago * 86400)
    assert missing_reason(created, now=NOW) == reason


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
