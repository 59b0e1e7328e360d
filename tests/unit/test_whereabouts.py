"""Where leads are, by the index: looked up in the account's books, beside whoever else uses them."""

import sqlite3
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.account import AccountError, Index
from deploy.account.books import delete
from deploy.account.positions import READS, Positions
from ingest.records import DETAILS, LEADS, RAW, Received, Record, headers
from ingest.whereabouts import Outdone, Whereabouts
from schemas.shapes import Completeness
from tests.past import PAGE, Past

LEAD = "55459717045641999"


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


@pytest.fixture
def index(past: Past) -> Iterator[Index]:
    def found() -> Positions:
        ends = past.ends(*(topic for topics in READS.values() for topic in topics))
        return Positions(cluster=past.identity, committed=ends | past.stands, mapped=past.ends(*past.mapped))

    index = Index(
        found=found,
        reader=lambda: nullcontext(past.reader),
        file=lambda _: past.folder / "books.sqlite",
        topics=past.cluster.topics,
        clock=lambda: past.now,
    )
    yield index
    index.close()


def of(index: Index, lead: str = LEAD) -> Whereabouts | None:
    index.refresh()
    return index.of([lead]).get(lead)


def bulk(past: Past, lead: str = LEAD, *, completeness: Completeness = "FULL", source: str = "backfill") -> Received:
    """Details as a door writes them that read the lead whole: of no record on raw."""
    said = headers({"source": source, "completeness": completeness})
    return past.cluster.put(Record(topic=DETAILS, key=lead.encode(), value=b"avro", headers=said))


def announced(past: Past, source: str) -> Received:
    raw = past.raw(lead=LEAD)
    said = headers({"source": source})
    return past.cluster.put(Record(topic=RAW, key=raw.key, value=raw.value, headers=said))


def erase(past: Past, lead: str = LEAD) -> Received:
    return past.map(past.cluster.put(Record(topic=DETAILS, key=lead.encode(), value=None)))


class TestALead:
    def test_that_nobody_has_heard_of_is_not_there(self, past: Past, index: Index) -> None:
        past.arrive(past.raw())
        assert of(index) is None

    def test_that_was_fetched_and_mapped_is_there(self, past: Past, index: Index) -> None:
        past.arrive(past.raw(lead=LEAD))
        assert of(index) == Whereabouts(details="FULL", mapped=True, fate="fetched")

    def test_that_was_read_in_bulk_is_there_without_a_notification(self, past: Past, index: Index) -> None:
        past.map(bulk(past, completeness="REDUCED"))
        assert of(index) == Whereabouts(details="REDUCED", mapped=True)

    def test_that_is_not_read_yet_is_on_its_way(self, past: Past, index: Index) -> None:
        past.stand(past.raw(lead=LEAD))
        assert of(index) == Whereabouts(fate="unread")

    def test_that_waits_says_for_what(self, past: Past, index: Index) -> None:
        past.stand(past.wait(past.raw(lead=LEAD)))
        assert of(index) == Whereabouts(fate="waiting", reason="unavailable")

    def test_that_is_parked_says_why(self, past: Past, index: Index) -> None:
        past.park(past.raw(lead=LEAD), "token-expired")
        assert of(index) == Whereabouts(fate="parked", reason="token-expired")

    def test_that_is_dead_says_why_also_where_its_fate_was_compacted_away(self, past: Past, index: Index) -> None:
        past.bury(past.raw(lead=LEAD), "not-found")
        assert of(index) == Whereabouts(fate="dead", reason="not-found")

    def test_that_was_sent_back_waits_and_says_what_it_had_died_of(self, past: Past, index: Index) -> None:
        letter = past.bury(past.raw(lead=LEAD), "bad-field")
        past.stand(past.back(letter))
        past.tell(letter, "redriven", "bad-field")
        assert of(index) == Whereabouts(fate="waiting", reason="bad-field")

    def test_is_where_its_newest_notification_is(self, past: Past, index: Index) -> None:
        past.bury(past.raw(lead=LEAD), "expired")
        past.park(past.raw(lead=LEAD), "no-token")
        assert of(index) == Whereabouts(fate="parked", reason="no-token")

    def test_tells_who_announced_it_last(self, past: Past, index: Index) -> None:
        past.bury(announced(past, "reconcile"), "not-found")
        assert of(index) == Whereabouts(fate="dead", reason="not-found", reconciled=True)
        past.park(announced(past, "webhook"))
        assert of(index) == Whereabouts(fate="parked", reason="no-token")

    def test_that_was_erased_is_erased(self, past: Past, index: Index) -> None:
        past.arrive(past.raw(lead=LEAD))
        erase(past)
        assert of(index) == Whereabouts(erased=True, fate="fetched", unmapped="erased")

    def test_that_was_erased_and_came_again_is_there(self, past: Past, index: Index) -> None:
        erase(past)
        past.map(bulk(past))
        assert of(index) == Whereabouts(details="FULL", mapped=True)

    def test_whose_details_expired_before_it_did_is_made_no_poorer(self, past: Past, index: Index) -> None:
        past.arrive(past.raw(lead=LEAD))
        past.take_away(DETAILS, LEAD.encode())
        found = of(index)
        assert found is not None
        assert [found.has_as_much_as(each) for each in ("EXPORT", "REDUCED", "FULL")] == [True, False, False]

    def test_that_map_has_not_read_yet_is_on_its_way(self, past: Past, index: Index) -> None:
        past.stand(bulk(past))
        assert of(index) == Whereabouts(details="FULL", unmapped="unread")

    def test_that_map_gave_up_says_why(self, past: Past, index: Index) -> None:
        past.bury(past.fetch(past.raw(lead=LEAD)), "does-not-fit", stage="map")
        assert of(index) == Whereabouts(details="FULL", fate="fetched", unmapped="dead", unmapped_reason="does-not-fit")

    def test_that_map_gave_up_of_a_bulk_read_says_why(self, past: Past, index: Index) -> None:
        past.bury(bulk(past), "damaged", stage="map")
        assert of(index) == Whereabouts(details="FULL", unmapped="dead", unmapped_reason="damaged")

    def test_that_map_passed_over_is_lost(self, past: Past, index: Index) -> None:
        bulk(past)
        assert of(index) == Whereabouts(details="FULL", unmapped="lost")


class TestAPoorerRecord:
    """Where the richer one before it lay is remembered until a record comes that is as rich."""

    def test_over_a_richer_one_is_found(self, past: Past, index: Index) -> None:
        full = past.fetch(past.raw(lead=LEAD))
        poorer = bulk(past, completeness="EXPORT", source="import")
        index.refresh()
        assert list(index.outdone()) == [
            Outdone(lead_id=LEAD, partition=full.partition, offset=full.offset, by=(poorer.partition, poorer.offset))
        ]
        assert index.of([LEAD])[LEAD].details == "EXPORT"

    def test_as_rich_as_the_one_before_is_none(self, past: Past, index: Index) -> None:
        bulk(past, completeness="REDUCED")
        bulk(past, completeness="REDUCED")
        bulk(past)
        index.refresh()
        assert list(index.outdone()) == []

    def test_after_others_names_the_richest_and_of_those_the_newest(self, past: Past, index: Index) -> None:
        bulk(past)
        newest = bulk(past)
        bulk(past, completeness="EXPORT")
        index.refresh()
        bulk(past, completeness="REDUCED")
        bulk(past, completeness="EXPORT")
        index.refresh()
        assert [each.offset for each in index.outdone()] == [newest.offset]

    def test_is_outdone_by_the_richer_of_two(self, past: Past, index: Index) -> None:
        bulk(past, completeness="REDUCED")
        full = bulk(past)
        bulk(past, completeness="REDUCED")
        bulk(past, completeness="EXPORT")
        bulk(past, completeness="REDUCED")
        index.refresh()
        assert [each.offset for each in index.outdone()] == [full.offset]

    def test_is_mended_by_one_as_rich(self, past: Past, index: Index) -> None:
        bulk(past)
        bulk(past, completeness="EXPORT")
        bulk(past)
        index.refresh()
        assert list(index.outdone()) == []

    def test_after_an_erasure_is_outdone_by_nothing(self, past: Past, index: Index) -> None:
        """What was erased must not come back from behind its tombstone."""
        bulk(past)
        bulk(past, completeness="EXPORT")
        erase(past)
        index.refresh()
        assert list(index.outdone()) == []
        bulk(past, completeness="EXPORT")
        index.refresh()
        assert list(index.outdone()) == []

    def test_of_many_leads_are_told_in_pieces(self, past: Past, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("deploy.account.whereabouts._AT_ONCE", 3)
        leads = {str(100 + number) for number in range(7)} | {"not-a-number", "0123"}
        for lead in leads:
            bulk(past, lead)
            bulk(past, lead, completeness="EXPORT")
        index.refresh()
        assert sorted(each.lead_id for each in index.outdone()) == sorted(leads)


def test_many_leads_are_looked_up_at_once(past: Past, index: Index) -> None:
    leads = [past.lead_of(past.raw()) for _ in range(40_000)]
    index.refresh()
    found = index.of([*leads, LEAD, "0123", "no id"])
    assert found.keys() == set(leads)


def test_only_what_is_new_is_read(past: Past, index: Index) -> None:
    for _ in range(10):
        past.arrive(past.raw())
    index.refresh()
    assert past.read == 30
    index.refresh()
    assert past.read == 30


def test_the_account_and_the_index_keep_the_same_books(past: Past, index: Index) -> None:
    past.arrive(past.raw(lead=LEAD))
    assert past.account().targets[LEADS] == {"mapped": 1}
    index.refresh()
    assert past.read == 3
    past.park(past.raw(lead="777"))
    assert (past.account().notes, past.account().holds) == ((), True)
    assert index.of(["777"])["777"].fate == "parked"


def test_nobody_waits_for_an_index_that_is_only_open(past: Past, index: Index) -> None:
    index.refresh()
    other = sqlite3.connect(past.folder / "books.sqlite", timeout=0.0)
    other.execute("BEGIN EXCLUSIVE")
    other.rollback()
    other.close()
    assert past.account().holds


def test_books_that_were_made_anew_beside_it_are_opened_again(past: Past, index: Index) -> None:
    past.arrive(past.raw(lead=LEAD))
    index.refresh()
    delete(past.folder / "books.sqlite")
    assert index.of([LEAD])[LEAD].mapped
    past.arrive(past.raw(lead="777"))
    past.account()
    assert of(index, "777") == Whereabouts(details="FULL", mapped=True, fate="fetched")


def test_an_index_that_was_not_read_says_so(index: Index) -> None:
    with pytest.raises(AccountError, match="not read"):
        index.of([LEAD])


class TestTheAccount:
    """Holds also of leads that were never announced: they are on details without an origin."""

    def test_counts_what_was_read_in_bulk(self, past: Past) -> None:
        past.map(bulk(past))
        bulk(past, "777")
        account = past.account()
        assert account.targets[LEADS] == {"mapped": 1, "lost": 1}
        assert [each.lead_id for each in account.lost.examples] == ["777"]

    def test_counts_a_notification_that_a_bulk_read_came_before_as_fetched(self, past: Past) -> None:
        past.raw(lead=LEAD)
        past.map(bulk(past))
        assert (past.account().pages[PAGE], past.account().holds) == ({"fetched": 1}, True)

    def test_closes_a_dead_letter_of_a_bulk_read_that_was_sent_back(self, past: Past) -> None:
        details = bulk(past)
        letter = past.bury(details, "damaged", stage="map")
        assert past.account().dead == {("map", "", "damaged"): 1}
        assert past.account().targets[LEADS] == {"dead": 1}
        redriven = past.cluster.put(
            Record(
                topic=DETAILS,
                key=details.key,
                value=details.value,
                headers=headers({"origin": details.origin}),
                timestamp=details.timestamp,
            )
        )
        past.tell(letter, "redriven", "damaged", stage="map")
        past.map(redriven)
        assert (past.account().dead, past.account().targets[LEADS]) == ({}, {"mapped": 1})

    def test_keeps_a_dead_letter_open_that_died_again(self, past: Past) -> None:
        details = bulk(past)
        letter = past.bury(details, "damaged", stage="map")
        past.tell(letter, "redriven", "damaged", stage="map")
        past.bury(replace(details, headers=headers({"origin": details.origin})), "damaged", stage="map")
        assert past.account().dead == {("map", "", "damaged"): 1}

    def test_knows_what_map_left_out_of_a_bulk_read(self, past: Past) -> None:
        past.tell(bulk(past), "skipped", "test-lead", stage="map")
        assert past.account().targets[LEADS] == {"skipped": 1}
