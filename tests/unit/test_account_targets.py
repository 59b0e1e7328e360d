"""The account of each target of a mapping file: whoever is meant for it is on its topic, or it is told why not."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.account import Account
from deploy.account.positions import is_of_target
from deploy.account.words import verdict
from ingest.records import AGAIN, CRM, DETAILS, LEADS, RAW, Received, Record
from tests.past import OTHER_PAGE, PAGE, Past, at, made

SALES, BILLING = "sales.v1", "billing.v1"


@pytest.fixture
def past(tmp_path: Path) -> Past:
    past = Past(tmp_path)
    past.targets = (SALES, BILLING)
    return past


def of(account: Account, target: str = SALES) -> dict[str, int]:
    return {str(kind): number for kind, number in account.targets[f"{CRM}{target}"].items()}


def lost(account: Account) -> list[tuple[str | None, str]]:
    assert account.holds is (account.lost.count == 0)
    return [(each.target, each.at) for each in account.lost.examples]


def erase(past: Past, details: Received) -> Received:
    return past.cluster.put(Record(topic=DETAILS, key=details.key, value=None))


def replayed(past: Past, details: Received) -> Received:
    """What a redrive and `replay map --lead` write: the same, once more."""
    said, at_first = details.headers, details.timestamp
    return past.cluster.put(
        Record(topic=DETAILS, key=details.key, value=details.value, headers=said, timestamp=at_first)
    )


def test_each_lead_is_counted_once_for_each_target_as_what_it_became(past: Past) -> None:
    """Mapped, left out by the filter, dead for one target, dead as a whole, erased, and not read yet."""
    past.map(past.fetch(past.raw()), (SALES, BILLING))
    past.map(past.fetch(past.raw()), (SALES,))
    failed = past.fetch(past.raw())
    past.bury(failed, "required", stage="map", target=SALES)
    past.map(failed, (SALES, BILLING), without=(SALES,))
    past.bury(past.fetch(past.raw()), "damaged", stage="map")
    erased = past.fetch(past.raw())
    past.map(erased, (SALES,))
    past.map(erase(past, erased))
    last = past.fetch(past.raw())
    past.stand(last)
    account = past.account()
    assert account.targets[LEADS] == {"mapped": 3, "dead": 1, "erased": 1, "unread": 1}
    assert of(account, SALES) == {"mapped": 2, "dead": 2, "erased": 1, "unread": 1}
    assert of(account, BILLING) == {"mapped": 2, "skipped": 1, "dead": 1, "erased": 1, "unread": 1}
    assert account.dead == {("map", "", "damaged"): 1, ("map", SALES, "required"): 1}
    assert account.holds


def test_a_lead_that_is_missing_on_one_of_its_targets_is_found_and_named(past: Past) -> None:
    past.map(past.fetch(past.raw()), (SALES, BILLING))
    gone = past.fetch(past.raw())
    past.map(gone, (SALES, BILLING), without=(BILLING,))
    account = past.account()
    assert (of(account, SALES), of(account, BILLING)) == ({"mapped": 2}, {"mapped": 1, "lost": 1})
    assert lost(account) == [(f"{CRM}{BILLING}", at(gone, DETAILS))]
    said = verdict(account)
    assert f"LOST: 1 leads were passed over on their way to {CRM}{BILLING}, as {at(gone, DETAILS)}" in said
    assert f"`leadstream replay map --lead {(gone.key or b'').decode()} --yes`" in said
    assert SALES not in said
    past.map(gone, (SALES, BILLING))
    assert past.account().holds


def test_what_is_lost_of_several_targets_is_named_with_each(past: Past) -> None:
    first, second = past.fetch(past.raw()), past.fetch(past.raw())
    past.map(first, (SALES,), without=(SALES,))
    past.map(second, (BILLING,), without=(BILLING,))
    assert lost(past.account()) == [(f"{CRM}{BILLING}", at(second, DETAILS)), (f"{CRM}{SALES}", at(first, DETAILS))]
    assert [line.partition(" as ")[2][: len(at(first, DETAILS))] for line in verdict(past.account()).splitlines()] == [
        at(second, DETAILS),
        at(first, DETAILS),
    ]


def test_a_newer_answer_that_is_not_on_the_target_is_lost_though_the_older_one_is_there(past: Past) -> None:
    raw = past.raw()
    past.map(past.fetch(raw), (SALES,))
    newer = past.fetch(raw)
    past.map(newer, (SALES,), without=(SALES,))
    assert lost(past.account()) == [(f"{CRM}{SALES}", at(newer, DETAILS))]


def test_a_lead_that_map_passed_over_whole_is_missed_on_leads_and_where_it_was_meant_for_before(past: Past) -> None:
    raw = past.raw()
    past.map(past.fetch(raw), (SALES,))
    newer = past.fetch(raw)
    assert lost(past.account()) == [(LEADS, at(newer, DETAILS)), (f"{CRM}{SALES}", at(newer, DETAILS))]


def test_a_lead_that_never_reached_leads_is_lost_once(past: Past) -> None:
    """Nobody has said for whom it was meant."""
    gone = past.fetch(past.raw())
    account = past.account()
    assert lost(account) == [(LEADS, at(gone, DETAILS))]
    assert (of(account, SALES), of(account, BILLING)) == ({}, {})


def test_a_lead_that_was_mapped_before_there_were_targets_has_no_claim(past: Past) -> None:
    past.map(past.fetch(past.raw()))
    account = past.account()
    assert (of(account, SALES), account.targets[LEADS], account.holds) == ({"skipped": 1}, {"mapped": 1}, True)


@pytest.mark.parametrize(
    ("topic", "is_one"),
    [
        ("leads.crm.sales.v1", True),
        ("leads.crm.b2b_sales.v12", True),
        ("leads.crm.sales.v1.dlq", False),
        ("leads.crm.sales.v1-dlq", False),
        ("leads.crm.sales", False),
        ("leads.v1", False),
    ],
)
def test_a_topic_that_a_sink_has_beside_a_targets_is_none(topic: str, is_one: bool) -> None:
    """A lead that was refused there, and erased since, would be lost for ever."""
    assert is_of_target(topic) is is_one


def test_a_target_without_a_lead_says_so(past: Past) -> None:
    account = past.account()
    assert (of(account, SALES), of(account, BILLING), account.holds) == ({}, {}, True)


def test_ids_that_begin_or_end_alike_are_told_apart(past: Past) -> None:
    past.targets = ("sales.v1", "sales.v11", "presales.v1")
    past.map(past.fetch(past.raw()), ("sales.v11", "presales.v1"))
    account = past.account()
    assert (of(account, "sales.v1"), of(account, "sales.v11"), of(account, "presales.v1")) == (
        {"skipped": 1},
        {"mapped": 1},
        {"mapped": 1},
    )


class TestAnErasedLead:
    def test_is_erased_by_its_tombstone_or_by_there_being_nothing(self, past: Past) -> None:
        details = past.fetch(past.raw())
        past.map(details, (SALES,))
        tombstone = erase(past, details)
        past.stand(tombstone)
        account = past.account()
        assert (of(account), account.targets[LEADS]) == ({"unread": 1}, {"unread": 1})
        past.stand(tombstone, beyond=True)
        past.map(tombstone)
        past.take_away(LEADS, details.key or b"")
        past.take_away(f"{CRM}{BILLING}", details.key or b"")
        (past.folder / "books.sqlite").unlink()
        account = past.account()
        assert (of(account, SALES), of(account, BILLING), account.targets[LEADS]) == (
            {"erased": 1},
            {"erased": 1},
            {"erased": 1},
        )

    def test_that_is_still_on_a_target_is_an_alarm(self, past: Past) -> None:
        details = past.fetch(past.raw())
        past.map(details, (SALES,))
        tombstone = erase(past, details)
        past.cluster.put(Record(topic=LEADS, key=tombstone.key, value=None, timestamp=tombstone.timestamp))
        account = past.account()
        assert (account.targets[LEADS], of(account, BILLING)) == ({"erased": 1}, {"erased": 1})
        assert lost(account) == [(f"{CRM}{SALES}", at(tombstone, DETAILS))]


class TestADeadLetterOfATarget:
    def test_is_of_that_target_alone_and_its_lead_is_mapped_after_a_redrive(self, past: Past) -> None:
        details = past.fetch(past.raw())
        letter = past.bury(details, "required", stage="map", target=SALES)
        past.map(details, (SALES, BILLING), without=(SALES,))
        account = past.account()
        assert (of(account, SALES), of(account, BILLING), account.targets[LEADS]) == (
            {"dead": 1},
            {"mapped": 1},
            {"mapped": 1},
        )
        again = replayed(past, details)
        past.tell(letter, "redriven", "required", stage="map", target=SALES)
        past.stand(again)
        account = past.account()
        assert (of(account, SALES), of(account, BILLING), account.dead) == ({"unread": 1}, {"mapped": 1}, {})
        past.stand(again, beyond=True)
        assert lost(past.account()) == [(f"{CRM}{SALES}", at(again, DETAILS))]
        past.map(again, (SALES, BILLING))
        account = past.account()
        assert (of(account, SALES), account.dead, account.holds) == ({"mapped": 1}, {}, True)

    def test_without_its_letter_is_lost(self, past: Past) -> None:
        """A fate alone proves nothing."""
        details = past.fetch(past.raw())
        past.tell(details, "dead", "required", stage="map", target=SALES)
        past.map(details, (SALES,), without=(SALES,))
        assert lost(past.account()) == [(f"{CRM}{SALES}", at(details, DETAILS))]

    def test_is_open_where_that_of_another_target_was_sent_back(self, past: Past) -> None:
        details = past.fetch(past.raw())
        letters = {target: past.bury(details, "required", stage="map", target=target) for target in past.targets}
        assert past.account().dead == {("map", SALES, "required"): 1, ("map", BILLING, "required"): 1}
        past.tell(letters[SALES], "redriven", "required", stage="map", target=SALES)
        assert past.account().dead == {("map", BILLING, "required"): 1}

    def test_of_a_page_is_that_pages(self, past: Past) -> None:
        past.bury(past.fetch(past.raw(OTHER_PAGE)), "required", stage="map", target=SALES)
        assert past.account(page=PAGE).dead == {}
        assert past.account(page=OTHER_PAGE).dead == {("map", SALES, "required"): 1}

    def test_as_a_whole_is_no_more_when_the_lead_was_mapped_without_the_target(self, past: Past) -> None:
        """By a replay, where nothing was sent back: the letter stays, and the lead on leads.v1 says more."""
        details = past.fetch(past.raw())
        past.bury(details, "does-not-fit", stage="map")
        assert of(past.account()) == {"dead": 1}
        past.map(details, (BILLING,))
        assert (of(past.account(), SALES), of(past.account(), BILLING)) == ({"skipped": 1}, {"mapped": 1})


class TestWhatIsOnItsWay:
    def test_is_not_missed_where_leads_was_acknowledged_before_the_target(self, past: Past) -> None:
        """A replay, with a mapping file that takes more: the offset of its details was committed long ago."""
        details = past.fetch(past.raw())
        past.map(details, ())
        before = past.ends(*past.mapped)
        committed = past.ends(DETAILS)
        past.map(details, (SALES,), without=(SALES,))
        account = past.account_by(past.ends(RAW, AGAIN) | committed, mapped=before)
        assert (of(account), account.holds) == ({"unread": 1}, True)
        assert lost(past.account()) == [(f"{CRM}{SALES}", at(details, DETAILS))]

    @pytest.mark.parametrize("only", [(LEADS,), (f"{CRM}{SALES}",), (LEADS, f"{CRM}{SALES}")])
    def test_is_not_missed_where_a_replay_has_put_an_older_lead_in_its_place_for_a_moment(
        self, past: Past, only: Sequence[str]
    ) -> None:
        """It had just been asked how far map has read: before the group was moved back."""
        raw = past.raw()
        older, newer = past.fetch(raw), past.fetch(raw)
        past.map(newer, (SALES,))
        before, committed = past.ends(*past.mapped), past.ends(DETAILS)
        for topic in only:
            past.cluster.put(made(older, topic, (SALES,) if topic == LEADS else None))
        account = past.account_by(past.ends(RAW, AGAIN) | committed, mapped=before)
        assert (account.lost.examples, account.holds) == ((), True)
        assert not past.account().holds  # what is still so when it is asked again will never come

    def test_is_unread_for_a_target_while_a_replay_comes_to_it(self, past: Past) -> None:
        for _ in range(4):
            past.map(past.fetch(past.raw()), ())
        past.stands[DETAILS] = {0: 0, 1: 0}
        assert of(past.account()) == {"unread": 4}

    def test_that_was_mapped_stays_mapped_while_it_is_mapped_again(self, past: Past) -> None:
        past.map(past.fetch(past.raw()), (SALES,))
        past.stands[DETAILS] = {0: 0, 1: 0}
        assert of(past.account()) == {"mapped": 1}


def test_a_target_that_comes_later_is_read_into_the_same_books(past: Past) -> None:
    past.targets = (SALES,)
    details = past.fetch(past.raw())
    past.map(details, (SALES,))
    assert past.account().targets.keys() == {LEADS, f"{CRM}{SALES}"}
    past.targets = (SALES, BILLING)
    assert of(past.account(), BILLING) == {"skipped": 1}
    past.map(details, (SALES, BILLING))
    account = past.account()
    assert (past.read, of(account, BILLING), account.notes) == (5, {"mapped": 1}, ())


def test_a_target_whose_topic_was_made_anew_is_read_anew(past: Past) -> None:
    details = past.fetch(past.raw())
    past.map(details, (SALES,))
    assert past.account().holds
    del past.cluster._logs[past.cluster.topics(f"{CRM}{SALES}")]  # noqa: SLF001  nothing else takes a topic away
    account = past.account()
    assert (len(account.notes), lost(account)) == (1, [(f"{CRM}{SALES}", at(details, DETAILS))])


def test_an_interval_and_a_page_count_their_own_leads_of_a_target(past: Past) -> None:
    first, second = past.fetch(past.raw()), past.fetch(past.raw(OTHER_PAGE))
    for details in (first, second):
        past.map(details, (SALES,))
    assert of(past.account(page=PAGE)) == of(past.account(since=second.timestamp)) == {"mapped": 1}
