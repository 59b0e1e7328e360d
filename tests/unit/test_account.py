"""The account over a cluster in memory: whatever a record becomes, it is counted once; what is gone is found."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.account.counting import Lag
from deploy.dead.ledger import read_letter
from deploy.dead.redrive import redriven
from ingest.records import (
    ACCESS,
    DEAD,
    DETAILS,
    FATES,
    LEADS,
    RAW,
    RETRY,
    UPDATES,
    Failure,
    Received,
    Record,
    dead_letter,
    fate_record,
    headers,
    sent_again,
)
from tests.cluster import NOW
from tests.past import OTHER_PAGE, PAGE, Past, at, kinds, lost


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_nothing_yet_is_accounted_for(past: Past) -> None:
    account = past.account()
    assert (account.holds, account.pages, account.notes) == (True, {}, ())


def test_every_record_is_counted_once_as_what_it_became(past: Past) -> None:
    """Of one page: fetched, waiting, parked, dead, skipped, duplicate and not read yet; and another page's own."""
    first = past.raw()
    past.arrive(first)
    past.wait(past.raw())
    past.park(past.raw())
    past.bury(past.raw())
    past.tell(past.raw(), "skipped", "sample")
    past.tell(past.raw(lead=past.lead_of(first)), "duplicate", "seen")
    past.arrive(past.raw(OTHER_PAGE))
    past.stand(past.raw())
    for topic in RETRY:
        past.stands[topic] = {0: 0, 1: 0}
    account = past.account()
    assert kinds(account) == {
        "fetched": 1,
        "waiting": 1,
        "parked": 1,
        "dead": 1,
        "skipped": 1,
        "duplicate": 1,
        "unread": 1,
    }
    assert kinds(account, OTHER_PAGE) == {"fetched": 1}
    assert sum(account.total.values()) == len(past.cluster.on(RAW)) == 8
    assert account.targets == {LEADS: {"mapped": 2}}
    assert account.holds


def test_a_details_record_that_is_gone_is_found_and_named(past: Past) -> None:
    past.arrive(past.raw())
    gone = past.raw()
    account = past.account()
    assert (lost(account), kinds(account)) == ([("fetch", at(gone, RAW))], {"fetched": 1, "lost": 1})
    assert account.lost.examples[0].lead_id == past.lead_of(gone)
    assert account.lost.examples[0].page_id == PAGE
    past.arrive(past.back(with_origin(gone)))
    assert kinds(past.account()) == {"fetched": 2}


def with_origin(raw: Received) -> Received:
    return replace(raw, headers=raw.headers + headers({"origin": raw.origin}))


def test_a_lead_that_is_gone_between_details_and_its_target_is_found(past: Past) -> None:
    details = past.fetch(past.raw())
    past.stand(details)
    assert past.account().targets[LEADS] == {"unread": 1}
    past.stand(details, beyond=True)
    account = past.account()
    assert (account.targets[LEADS], lost(account)) == ({"lost": 1}, [("map", at(details, DETAILS))])
    past.map(details)
    assert past.account().holds


def test_a_newer_answer_that_map_has_passed_over_is_lost_though_the_older_one_is_there(past: Past) -> None:
    raw = past.raw()
    past.arrive(raw)
    newer = past.fetch(raw)
    assert lost(past.account()) == [("map", at(newer, DETAILS))]


class TestWhatWaits:
    def test_is_waiting_on_each_step_of_its_way_and_then_fetched(self, past: Past) -> None:
        copy = past.wait(past.raw())
        past.stand(copy)
        assert kinds(past.account()) == {"waiting": 1}
        again = past.back(copy)
        assert kinds(past.account()) == {"waiting": 1}
        past.stand(copy, beyond=True)
        past.stand(again)
        assert kinds(past.account()) == {"waiting": 1}
        past.stand(again, beyond=True)
        second = past.wait(again, rung=1)
        past.stand(second)
        assert kinds(past.account()) == {"waiting": 1}
        last = past.back(second)
        past.stand(second, beyond=True)
        past.stand(last, beyond=True)
        past.arrive(last)
        assert kinds(past.account()) == {"fetched": 1}

    def test_is_lost_when_its_reader_has_passed_the_copy(self, past: Past) -> None:
        raw = past.raw()
        copy = past.wait(raw)
        past.stand(copy)
        assert past.account().holds
        past.stand(copy, beyond=True)
        assert lost(past.account()) == [("fetch", at(raw, RAW))]

    def test_is_lost_when_fetch_has_passed_what_came_back(self, past: Past) -> None:
        raw = past.raw()
        again = past.back(past.wait(raw))
        past.stand(again)
        assert past.account().holds
        past.stand(again, beyond=True)
        assert lost(past.account()) == [("fetch", at(raw, RAW))]

    def test_is_lost_when_there_is_no_copy_at_all(self, past: Past) -> None:
        raw = past.raw()
        past.tell(raw, "waiting", "unavailable")
        assert lost(past.account()) == [("fetch", at(raw, RAW))]

    def test_is_not_read_yet_where_the_copy_was_not_acknowledged_with_its_fate(self, past: Past) -> None:
        raw = past.raw()
        past.tell(raw, "waiting", "unavailable")
        past.stand(raw)
        assert kinds(past.account()) == {"unread": 1}


class TestWhatIsParked:
    def test_is_lost_without_its_record(self, past: Past) -> None:
        raw = past.raw()
        past.tell(raw, "parked", "no-token")
        assert lost(past.account()) == [("fetch", at(raw, RAW))]

    def test_is_counted_with_its_reason_until_it_is_released_and_fetched(self, past: Past) -> None:
        copy = past.park(past.raw())
        account = past.account()
        assert (kinds(account), account.parked) == ({"parked": 1}, {"no-token": 1})
        again = past.release(copy)
        past.stand(again)
        assert kinds(past.account()) == {"waiting": 1}
        past.stand(again, beyond=True)
        past.arrive(again)
        account = past.account()
        assert (kinds(account), account.parked) == ({"fetched": 1}, {})

    def test_is_lost_when_it_was_released_and_fetch_has_passed_it(self, past: Past) -> None:
        raw = past.raw()
        past.stand(past.release(past.park(raw)), beyond=True)
        assert lost(past.account()) == [("fetch", at(raw, RAW))]

    def test_and_fetched_before_its_release_was_told_is_fetched(self, past: Past) -> None:
        copy = past.park(past.raw())
        past.arrive(past.back(copy))
        past.tell(copy, "released", "no-token")
        assert kinds(past.account()) == {"fetched": 1}

    @pytest.mark.parametrize("compacted", [False, True])
    @pytest.mark.parametrize("ending", ["parked", "dead", "fetched"])
    def test_and_ended_again_before_its_release_was_told_is_what_it_ended_as(
        self, past: Past, ending: str, compacted: bool
    ) -> None:
        """Compaction leaves the release alone, which is the last fate of the record."""
        copy = past.park(past.raw())
        again = past.back(copy)
        match ending:
            case "parked":
                past.park(again)
            case "dead":
                past.bury(again)
            case _:
                past.arrive(again)
        past.tell(copy, "released", "no-token")
        if compacted:
            past.compact(FATES)
        assert kinds(past.account()) == {ending: 1}


def test_a_dead_letter_that_is_gone_is_a_lost_record(past: Past) -> None:
    raw = past.raw()
    past.tell(raw, "dead", "not-found")
    assert lost(past.account()) == [("fetch", at(raw, RAW))]


def test_a_dead_letter_is_open_until_it_is_sent_back_and_its_record_ends(past: Past) -> None:
    letter = past.bury(past.raw())
    account = past.account()
    assert (kinds(account), account.dead) == ({"dead": 1}, {("fetch", "", "not-found"): 1})
    again = past.back(letter)
    past.tell(letter, "redriven", "not-found")
    past.stand(again)
    account = past.account()
    assert (kinds(account), account.dead) == ({"waiting": 1}, {})
    past.stand(again, beyond=True)
    past.bury(again)
    account = past.account()
    assert (kinds(account), account.dead) == ({"dead": 1}, {("fetch", "", "not-found"): 1})


def test_a_dead_letter_is_open_though_the_redrive_of_the_one_before_was_told_after_it(past: Past) -> None:
    letter = past.bury(past.raw())
    past.bury(past.back(letter), "bad-ask")
    past.tell(letter, "redriven", "not-found")
    account = past.account()
    assert (kinds(account), account.dead) == ({"dead": 1}, {("fetch", "", "bad-ask"): 1})


def test_a_notification_of_a_lead_that_was_fetched_before_can_be_lost(past: Past) -> None:
    """One that nothing was told of, and one that waited: older details do not speak for them."""
    first = past.raw()
    past.arrive(first)
    silent, waited = past.raw(lead=past.lead_of(first)), past.raw(lead=past.lead_of(first))
    past.wait(waited)
    assert kinds(past.account()) == {"fetched": 1, "lost": 2}
    past.arrive(past.raw(lead=past.lead_of(first)))
    assert silent.partition == waited.partition
    assert kinds(past.account()) == {"fetched": 4}


def test_a_clock_that_is_behind_does_not_hide_what_fetch_said_of_the_newest_copy(past: Past) -> None:
    """Its details are dated before the copy they came of, and the release was told last."""
    copy = past.park(past.raw())
    again = past.cluster.put(replace(sent_again(copy), timestamp=NOW + 3_000_000))
    past.arrive(again)
    past.tell(copy, "released", "no-token")
    assert kinds(past.account()) == {"fetched": 1}


class TestTheDoorsDeadLetters:
    def test_are_a_line_of_their_own_open_or_sent_back(self, past: Past) -> None:
        first, _ = put_at_the_door(past), put_at_the_door(past)
        account = past.account()
        assert (account.pages, dict(account.door)) == ({}, {"open": 2})
        assert account.dead == {("ingest", "", "lead-id-missing"): 2}
        again = past.back(first)
        past.tell(first, "redriven", stage="ingest")
        past.stand(again)
        assert dict(past.account().door) == {"open": 1, "waiting": 1}
        past.stand(again, beyond=True)
        assert [(each.at, each.stage) for each in past.account().lost.examples] == [(first.origin, "fetch")]
        past.arrive(again)
        account = past.account()
        assert dict(account.door) == {"open": 1, "fetched": 1}
        assert account.dead == {("ingest", "", "lead-id-missing"): 1}
        assert account.holds

    def test_end_as_fetch_says_wherever_the_redrive_was_told(self, past: Past) -> None:
        """The two fates have different keys, so their offsets say nothing about which came first."""
        letter = put_at_the_door(past)
        for _ in range(20):
            past.tell(past.raw(), "skipped", "sample")
        past.tell(letter, "redriven", stage="ingest")
        again = past.back(letter)
        past.bury(again, "bad-ask")
        account = past.account()
        assert (dict(account.door), account.dead) == ({"dead": 1}, {("fetch", "", "bad-ask"): 1})


def put_at_the_door(past: Past) -> Received:
    """A dead letter as the door writes it; returned as `dead redrive` reads it."""
    said = headers({"stage": "ingest", "fate-reason": "lead-id-missing"})
    raw = past.raw()
    put = past.cluster.put(Record(topic=DEAD, key=raw.key, value=raw.value, headers=said))
    past.cluster._logs[raw.topic][raw.partition].pop()  # noqa: SLF001  it never was on raw
    return replace(put, headers=said + headers({"origin": f"dead:{put.partition}@{put.offset}"}))


class TestCompaction:
    def test_an_older_notification_of_a_lead_is_fetched_by_the_details_of_a_later_one(self, past: Past) -> None:
        first = past.raw(lead="55459717045641545")
        second = past.raw(lead="55459717045641545")
        past.fetch(first)
        past.arrive(second)
        past.compact(DETAILS)
        past.compact(LEADS)
        assert kinds(past.account()) == {"fetched": 2}

    def test_an_erased_lead_was_fetched_and_is_counted_as_erased_by_map(self, past: Past) -> None:
        details = past.fetch(past.raw())
        past.arrive(past.raw())
        tombstone = past.cluster.put(Record(topic=DETAILS, key=details.key, value=None))
        past.map(tombstone)
        account = past.account()
        assert (kinds(account), account.targets[LEADS]) == ({"fetched": 2}, {"mapped": 1, "erased": 1})

    def test_a_tombstone_that_map_has_passed_over_is_found(self, past: Past) -> None:
        details = past.fetch(past.raw())
        past.map(details)
        tombstone = past.cluster.put(Record(topic=DETAILS, key=details.key, value=None))
        assert lost(past.account()) == [("map", at(tombstone, DETAILS))]


def test_what_map_gave_up_is_dead_until_it_is_mapped(past: Past) -> None:
    details = past.fetch(past.raw())
    past.bury(details, "damaged", stage="map")
    account = past.account()
    assert (account.targets[LEADS], account.dead) == ({"dead": 1}, {("map", "", "damaged"): 1})
    again = past.cluster.put(
        Record(
            topic=DETAILS,
            key=details.key,
            value=details.value,
            headers=details.headers,
            timestamp=details.timestamp,
        )
    )
    assert lost(past.account()) == [("map", at(again, DETAILS))]
    past.map(again)
    assert past.account().targets[LEADS] == {"mapped": 1}


def test_what_map_left_out_after_it_gave_up_an_older_answer_is_left_out(past: Past) -> None:
    raw = past.raw()
    past.bury(past.fetch(raw), "damaged", stage="map")
    past.tell(past.fetch(raw), "skipped", "poorer", stage="map")
    assert past.account().targets[LEADS] == {"skipped": 1}


def test_a_replay_loses_nothing_by_its_group_standing_back(past: Past) -> None:
    for _ in range(4):
        past.arrive(past.raw())
    past.account()
    past.stands[RAW] = {0: 0, 1: 0}
    account = past.account()
    assert (kinds(account), account.lags["fetch"].records) == ({"fetched": 4}, 4)


def test_what_a_replay_from_raw_fetches_is_no_longer_dead(past: Past) -> None:
    raw = past.raw()
    past.bury(raw)
    assert kinds(past.account()) == {"dead": 1}
    past.arrive(raw)
    assert kinds(past.account()) == {"fetched": 1}


def test_an_interval_and_a_page_count_their_own(past: Past) -> None:
    first, second, third = past.raw(), past.raw(OTHER_PAGE), past.raw()
    for raw in (first, second, third):
        past.arrive(raw)
    between = past.account(since=second.timestamp, until=third.timestamp)
    assert {page: dict(counts) for page, counts in between.pages.items()} == {OTHER_PAGE: {"fetched": 1}}
    of_page = past.account(page=PAGE)
    assert {page: dict(counts) for page, counts in of_page.pages.items()} == {PAGE: {"fetched": 2}}
    assert of_page.targets[LEADS] == {"mapped": 2}


def test_dead_letters_are_those_of_the_page(past: Past) -> None:
    """Those of map too, by the record they came from."""
    past.bury(past.raw())
    past.bury(past.fetch(past.raw(OTHER_PAGE)), "damaged", stage="map")
    assert past.account(page=PAGE).dead == {("fetch", "", "not-found"): 1}
    assert past.account(page=OTHER_PAGE).dead == {("map", "", "damaged"): 1}


def test_what_cannot_be_read_counts_under_its_key(past: Past) -> None:
    raw = past.cluster.put(Record(topic=RAW, key=b"4711", value=b"no json"))
    failure = Failure(stage="fetch", reason="not-json", error="BadChange")
    past.cluster.put(dead_letter(raw, failure, now=NOW))
    past.cluster.put(fate_record(raw, "dead", stage="fetch", reason="not-json", page_id="4711", lead_id=None))
    assert kinds(past.account(), "4711") == {"dead": 1}


def test_what_may_not_be_asked_now_is_told_and_a_pause_that_is_over_is_not(past: Past) -> None:
    told: Sequence[tuple[str, str, int | None]] = (
        ("page:1", "broken", None),
        ("page:2", "paused", past.now + 1000),
        ("page:3", "paused", past.now - 1000),
        ("page:4", "broken", None),
        ("page:4", "open", None),
    )
    for key, state, until in told:
        value = {"state": state, "until": until, "reason": "no-token", "at": NOW, "page_id": key[5:]}
        past.cluster.put(Record(topic=ACCESS, key=key.encode(), value=json.dumps(value).encode()))
    assert [(each.key, each.state) for each in past.account().access] == [("page:1", "broken"), ("page:2", "paused")]


def test_updates_of_leads_are_no_leads_and_only_their_lag_is_told(past: Past) -> None:
    value = b'{"field":"leadgen_update","value":{"leadgen_id":1}}'
    first, *_ = [past.cluster.put(Record(topic=UPDATES, key=b"2", value=value)) for _ in range(3)]
    past.cluster.put(Record(topic=UPDATES, key=b"2", value=value, headers=headers({"origin": "somebody's own"})))
    past.stand(first, beyond=True)
    account = past.account()
    assert (sum(account.total.values()), account.holds) == (0, True)
    assert account.lags["updates"] == Lag(records=3, oldest=first.timestamp + 1000, expired=0)


def test_an_update_that_died_is_among_the_dead_until_it_is_redriven(past: Past) -> None:
    update = past.cluster.put(Record(topic=UPDATES, key=b"2", value=b"no update"))
    failure = Failure(stage="update", reason="not-json", error="BadChange")
    letter = past.cluster.put(dead_letter(update, failure, now=NOW))
    past.cluster.put(fate_record(update, "dead", stage="update", reason="not-json", page_id=None, lead_id=None))
    assert past.account().dead == {("update", "", "not-json"): 1}
    past.cluster.put(redriven(read_letter(letter)))
    account = past.account()
    assert (account.dead, account.holds) == ({}, True)


def test_lags_tell_what_is_left_and_how_old_the_oldest_is(past: Past) -> None:
    first = past.raw()
    waiting = past.wait(past.raw())
    details = past.fetch(past.raw())
    past.stand(first)
    past.stand(waiting)
    past.stand(details)
    lags = past.account().lags
    assert {group: (lag.records, lag.oldest) for group, lag in lags.items()} == {
        "fetch": (3, first.timestamp),
        "retry": (1, waiting.timestamp),
        "map": (1, details.timestamp),
        "updates": (0, None),
    }
