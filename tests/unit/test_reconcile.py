"""Reconciliation: how each lead at Meta stands with us, and the one number of a form."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.graph.bulk import CountedForm
from ingest.meta.notification import Notification
from ingest.reconcile import FormReport, Kind, Listed, Standing, announcement, percent, standing
from ingest.records import RAW
from ingest.whereabouts import Whereabouts

PAGE, FORM, LEAD = "106777055130587", "206777055130588", "55459717045641545"


def counted(leads: int | None = None, expired: int | None = None) -> CountedForm:
    return CountedForm(
        form_id=FORM, page_id=PAGE, name="Autumn", status="ACTIVE", leads=leads, organic=3, expired=expired
    )


def report(counters: CountedForm | None = None, **numbers: int) -> FormReport:
    standings = {Standing(kind): numbers[kind] for kind in get_args(Kind) if kind in numbers}
    return FormReport(page_id=PAGE, form_id=FORM, standings=standings, counters=counters)


@pytest.mark.parametrize(
    ("found", "stands"),
    [
        (None, Standing("missing")),
        (Whereabouts(details="FULL", mapped=True, fate="fetched"), Standing("here")),
        (Whereabouts(details="EXPORT", mapped=True), Standing("here")),
        (Whereabouts(mapped=True, fate="dead", reason="expired"), Standing("here")),
        (Whereabouts(erased=True, unmapped="erased"), Standing("erased")),
        (Whereabouts(erased=True, fate="dead", reason="not-found"), Standing("erased")),
        (Whereabouts(fate="unread"), Standing("coming", "fetch")),
        (Whereabouts(fate="waiting", reason="unavailable"), Standing("coming", "retry")),
        (Whereabouts(details="FULL", fate="fetched", unmapped="unread"), Standing("coming", "map")),
        (Whereabouts(fate="parked", reason="token-expired"), Standing("parked", "token-expired")),
        (Whereabouts(fate="dead", reason="bad-field"), Standing("dead", "bad-field")),
        (Whereabouts(details="FULL", unmapped="dead", unmapped_reason="damaged"), Standing("dead", "map damaged")),
        (Whereabouts(details="FULL", unmapped="skipped"), Standing("left out", "map skipped")),
        (Whereabouts(details="FULL", unmapped="lost"), Standing("left out", "map lost")),
        (Whereabouts(fate="lost"), Standing("missing")),
        (Whereabouts(fate="fetched"), Standing("missing")),
        (Whereabouts(fate="skipped", reason="sample"), Standing("missing")),
    ],
)
def test_a_lead_at_meta_stands_by_where_it_is_here(found: Whereabouts | None, stands: Standing) -> None:
    assert standing(found) == stands


@pytest.mark.parametrize("reason", ["not-found", "expired"])
def test_what_died_of_not_being_there_and_is_there_now_is_missing_but_only_once(reason: str) -> None:
    """Else each run would announce it, and fetch would give it up, for ever."""
    assert standing(Whereabouts(fate="dead", reason=reason)) == Standing("missing")
    assert standing(Whereabouts(fate="dead", reason=reason, reconciled=True)) == Standing("dead", reason)


def test_the_announcement_reads_as_metas_own() -> None:
    record = announcement(Listed(LEAD, 1_795_000_000), page_id=PAGE, form_id=FORM, run="r1", now=1_795_500_000_123)
    read = Notification.read(record.value or b"", page_id=None)
    assert (record.topic, record.key) == (RAW, PAGE.encode())
    assert (read.lead_id, read.page_id, read.form_id, read.created_time) == (LEAD, PAGE, FORM, 1_795_000_000)
    assert json.loads(record.value or b"")["field"] == "leadgen"
    assert dict(record.headers) == {
        "source": b"reconcile",
        "delivery": b"r1",
        "received-at": b"1795500000123",
        "entry-id": PAGE.encode(),
        "entry-time": b"1795500000",
    }


class TestCompleteness:
    def test_is_of_what_meta_lists_and_erased_leads_are_had(self) -> None:
        assert report(here=6, erased=1, parked=1, coming=1, missing=1).completeness == 70.0

    def test_of_a_form_without_leads_is_none(self) -> None:
        assert report().completeness is None

    def test_is_never_rounded_up_to_all(self) -> None:
        assert report(here=999_999, missing=1).completeness == 99.99

    @given(st.integers(0, 10**7), st.integers(1, 10**7))
    def test_is_100_for_all_and_for_nothing_less(self, part: int, more: int) -> None:
        assert percent(part + more, part + more) == 100.0
        assert 0 <= (percent(part, part + more) or 0) < 100


class TestCounters:
    def test_that_say_more_than_the_list_tell_of_leads_that_cannot_be_had(self) -> None:
        found = report(counted(leads=12, expired=2), here=9)
        assert (found.at_meta, found.not_listed, found.expired, found.completeness) == (9, 3, 2, 100.0)

    def test_that_say_less_tell_nothing(self) -> None:
        found = report(counted(leads=5, expired=2), here=9)
        assert (found.not_listed, found.expired) == (0, 0)

    @pytest.mark.parametrize("counters", [None, counted()])
    def test_that_meta_left_out_tell_nothing(self, counters: CountedForm | None) -> None:
        assert report(counters, here=1).not_listed == 0


def test_reasons_are_told_with_the_most_frequent_first() -> None:
    standings = {Standing("parked", "no-token"): 1, Standing("parked", "permission"): 3, Standing("here"): 2}
    found = FormReport(page_id=PAGE, form_id=FORM, standings=standings)
    assert (list(found.why("parked").items()), found.number("parked")) == ([("permission", 3), ("no-token", 1)], 4)
