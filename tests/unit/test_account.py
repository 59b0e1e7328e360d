"""The account over a cluster in memory: whatever a record becomes, it is counted once; what is gone is found."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.account import Account
from deploy.account.counting import Asked
from deploy.account.entries import ENTRIES
from deploy.account.positions import READS, Positions
from deploy.account.taking import keep
from ingest.reading import Offsets
from ingest.records import (
    ACCESS,
    AGAIN,
    DEAD,
    DETAILS,
    FATES,
    LEADS,
    PARKED,
    RAW,
    RETRY,
    Failure,
    Fate,
    Received,
    Record,
    Stage,
    dead_letter,
    fate_record,
    headers,
    sent_again,
    set_aside,
)
from tests.cluster import NOW, Cluster

PAGE, OTHER_PAGE = "106777055130587", "206777055130587"
LONG_AGO, FAR = 0, 2**62


class World:
    """A cluster whose workers have read everything, unless the test says how far; and books that are kept on."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster()
        self.folder = folder
        self.identity = "cluster-1"
        self.stands: dict[str, dict[int, int]] = {}
        self.now = NOW + 3_600_000
        self.read = 0
        self.expired: set[str] = set()  # topics whose records are all gone
        self._leads = 0

    def raw(self, page: str = PAGE, lead: str | None = None) -> Received:
        self._leads += 1
        change = {"field": "leadgen", "value": {"leadgen_id": lead or str(55459717045641544 + self._leads)}}
        said = headers({"source": "webhook"})
        return self.cluster.put(Record(topic=RAW, key=page.encode(), value=json.dumps(change).encode(), headers=said))

    def lead_of(self, received: Received) -> str:
        return str(json.loads(received.value or b"")["value"]["leadgen_id"])

    def fetch(self, received: Received) -> Received:
        """Details, as `work fetch` writes them, and the fate of what had another before."""
        said = headers({"origin": received.origin})
        details = self.cluster.put(
            Record(topic=DETAILS, key=self.lead_of(received).encode(), value=b"avro", headers=said)
        )
        if received.topic == self.cluster.topics(AGAIN):
            self.tell(received, "fetched", "answered")
        return details

    def map(self, details: Received) -> Received:
        return self.cluster.put(
            Record(
                topic=LEADS,
                key=details.key,
                value=details.value,
                headers=details.headers,
                timestamp=details.timestamp,
            )
        )

    def arrive(self, received: Received) -> Received:
        return self.map(self.fetch(received))

    def tell(self, of: Received, fate: Fate, reason: str = "-", *, stage: Stage = "fetch") -> Received:
        lead = (of.key or b"").decode() if stage == "map" else self.lead_of(of)
        return self.cluster.put(fate_record(of, fate, stage=stage, reason=reason, page_id=None, lead_id=lead))

    def wait(self, of: Received, rung: int = 0) -> Received:
        copy = self.cluster.put(set_aside(of, RETRY[rung], reason="unavailable", attempt=2, now=NOW))
        self.tell(of, "waiting", "unavailable")
        return copy

    def park(self, of: Received, reason: str = "no-token") -> Received:
        copy = self.cluster.put(set_aside(of, PARKED, reason=reason, attempt=1, now=NOW))
        self.tell(of, "parked", reason)
        return copy

    def bury(self, of: Received, reason: str = "not-found", *, stage: Stage = "fetch") -> Received:
        failure = Failure(stage=stage, reason=reason, error="Missing")
        letter = self.cluster.put(dead_letter(of, failure, now=NOW))
        self.tell(of, "dead", reason, stage=stage)
        return letter

    def back(self, of: Received) -> Received:
        return self.cluster.put(sent_again(of))

    def release(self, copy: Received) -> Received:
        again = self.back(copy)
        self.tell(copy, "released", "no-token")
        return again

    def stand(self, received: Received, *, past: bool = False) -> None:
        """The reader of the record's topic has committed up to the record, or past it."""
        name = received.topic.removeprefix(self.cluster.topics.prefix)
        ends = {number: end for number, (_, end) in self.cluster.bounds(received.topic).items()}
        self.stands[name] = ends | {received.partition: received.offset + past}

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Without what has expired."""
        found = self.cluster.bounds(topic)
        return {number: (end, end) for number, (_, end) in found.items()} if topic in self.expired else found

    def account(self, *, since: int = LONG_AGO, until: int = FAR, page: str | None = None) -> Account:
        ends = {
            topic: {number: end for number, (_, end) in self.cluster.bounds(self.cluster.topics(topic)).items()}
            for topics in READS.values()
            for topic in topics
        }
        positions = Positions(cluster=self.identity, committed=ends | self.stands)
        self.read = 0
        return keep(
            _Counting(self),
            self.folder / "books.sqlite",
            positions,
            self.cluster.topics,
            Asked(since=since, until=until, page=page),
            now=self.now,
        )


class _Counting:
    """The cluster's reader, which counts what is read."""

    def __init__(self, world: World) -> None:
        self._world = world

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        return self._world.bounds(topic)

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        for received in self._world.cluster.read(topic, since, until):
            self._world.read += 1
            yield received


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kinds(account: Account, page: str = PAGE) -> dict[str, int]:
    return {str(kind): number for kind, number in account.pages.get(page, {}).items()}


def lost(account: Account) -> list[tuple[str, str]]:
    assert account.holds is (account.lost.count == 0)
    return [(each.stage, each.at) for each in account.lost.examples]


def at(received: Received, topic: str) -> str:
    return f"{topic} {received.partition}@{received.offset}"


def test_nothing_yet_is_accounted_for(world: World) -> None:
    account = world.account()
    assert (account.holds, account.pages, account.notes) == (True, {}, ())


def test_every_record_is_counted_once_as_what_it_became(world: World) -> None:
    """Of one page: fetched, waiting, parked, dead, skipped, duplicate and not read yet; and another page's own."""
    world.arrive(world.raw())
    world.wait(world.raw())
    world.park(world.raw())
    world.bury(world.raw())
    world.tell(world.raw(), "skipped", "sample")
    world.tell(world.raw(), "duplicate", "seen")
    world.arrive(world.raw(OTHER_PAGE))
    world.stand(world.raw())
    for topic in RETRY:
        world.stands[topic] = {0: 0, 1: 0}
    account = world.account()
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
    assert sum(account.total.values()) == len(world.cluster.on(RAW)) == 8
    assert account.targets == {LEADS: {"mapped": 2}}
    assert account.holds


def test_a_details_record_that_is_gone_is_found_and_named(world: World) -> None:
    world.arrive(world.raw())
    gone = world.raw()
    account = world.account()
    assert (lost(account), kinds(account)) == ([("fetch", at(gone, RAW))], {"fetched": 1, "lost": 1})
    assert account.lost.examples[0].lead_id == world.lead_of(gone)
    assert account.lost.examples[0].page_id == PAGE
    world.arrive(world.back(with_origin(gone)))
    assert kinds(world.account()) == {"fetched": 2}


def with_origin(raw: Received) -> Received:
    return replace(raw, headers=raw.headers + headers({"origin": raw.origin}))


def test_a_lead_that_is_gone_between_details_and_its_target_is_found(world: World) -> None:
    details = world.fetch(world.raw())
    world.stand(details)
    assert world.account().targets[LEADS] == {"unread": 1}
    world.stand(details, past=True)
    account = world.account()
    assert (account.targets[LEADS], lost(account)) == ({"lost": 1}, [("map", at(details, DETAILS))])
    world.map(details)
    assert world.account().holds


def test_a_newer_answer_that_map_has_passed_over_is_lost_though_the_older_one_is_there(world: World) -> None:
    raw = world.raw()
    world.arrive(raw)
    newer = world.fetch(raw)
    assert lost(world.account()) == [("map", at(newer, DETAILS))]


class TestWhatWaits:
    def test_is_waiting_on_each_step_of_its_way_and_then_fetched(self, world: World) -> None:
        copy = world.wait(world.raw())
        world.stand(copy)
        assert kinds(world.account()) == {"waiting": 1}
        again = world.back(copy)
        assert kinds(world.account()) == {"waiting": 1}
        world.stand(copy, past=True)
        world.stand(again)
        assert kinds(world.account()) == {"waiting": 1}
        world.stand(again, past=True)
        second = world.wait(again, rung=1)
        world.stand(second)
        assert kinds(world.account()) == {"waiting": 1}
        last = world.back(second)
        world.stand(second, past=True)
        world.stand(last, past=True)
        world.arrive(last)
        assert kinds(world.account()) == {"fetched": 1}

    def test_is_lost_when_its_reader_has_passed_the_copy(self, world: World) -> None:
        raw = world.raw()
        copy = world.wait(raw)
        world.stand(copy)
        assert world.account().holds
        world.stand(copy, past=True)
        assert lost(world.account()) == [("fetch", at(raw, RAW))]

    def test_is_lost_when_fetch_has_passed_what_came_back(self, world: World) -> None:
        raw = world.raw()
        again = world.back(world.wait(raw))
        world.stand(again)
        assert world.account().holds
        world.stand(again, past=True)
        assert lost(world.account()) == [("fetch", at(raw, RAW))]

    def test_is_lost_when_there_is_no_copy_at_all(self, world: World) -> None:
        raw = world.raw()
        world.tell(raw, "waiting", "unavailable")
        assert lost(world.account()) == [("fetch", at(raw, RAW))]

    def test_is_not_read_yet_where_the_copy_was_not_acknowledged_with_its_fate(self, world: World) -> None:
        raw = world.raw()
        world.tell(raw, "waiting", "unavailable")
        world.stand(raw)
        assert kinds(world.account()) == {"unread": 1}


class TestWhatIsParked:
    def test_is_lost_without_its_record(self, world: World) -> None:
        raw = world.raw()
        world.tell(raw, "parked", "no-token")
        assert lost(world.account()) == [("fetch", at(raw, RAW))]

    def test_is_counted_with_its_reason_until_it_is_released_and_fetched(self, world: World) -> None:
        copy = world.park(world.raw())
        account = world.account()
        assert (kinds(account), account.parked) == ({"parked": 1}, {"no-token": 1})
        again = world.release(copy)
        world.stand(again)
        assert kinds(world.account()) == {"waiting": 1}
        world.stand(again, past=True)
        world.arrive(again)
        account = world.account()
        assert (kinds(account), account.parked) == ({"fetched": 1}, {})

    def test_is_lost_when_it_was_released_and_fetch_has_passed_it(self, world: World) -> None:
        raw = world.raw()
        world.stand(world.release(world.park(raw)), past=True)
        assert lost(world.account()) == [("fetch", at(raw, RAW))]

    def test_and_fetched_before_its_release_was_told_is_fetched(self, world: World) -> None:
        copy = world.park(world.raw())
        world.arrive(world.back(copy))
        world.tell(copy, "released", "no-token")
        assert kinds(world.account()) == {"fetched": 1}

    @pytest.mark.parametrize("compacted", [False, True])
    @pytest.mark.parametrize("ending", ["parked", "dead", "fetched"])
    def test_and_ended_again_before_its_release_was_told_is_what_it_ended_as(
        self, world: World, ending: str, compacted: bool
    ) -> None:
        """Compaction leaves the release alone, which is the last fate of the record."""
        copy = world.park(world.raw())
        again = world.back(copy)
        match ending:
            case "parked":
                world.park(again)
            case "dead":
                world.bury(again)
            case _:
                world.arrive(again)
        world.tell(copy, "released", "no-token")
        if compacted:
            keep_last(world, FATES)
        assert kinds(world.account()) == {ending: 1}


def keep_last(world: World, topic: str) -> None:
    """What compaction does: the last record of each key stays, at its place."""
    for log in world.cluster._logs[world.cluster.topics(topic)]:  # noqa: SLF001  there is no other way to lose a record
        last = {received.key: received for received in log}
        log[:] = [received for received in log if last[received.key] is received]


def test_a_dead_letter_that_is_gone_is_a_lost_record(world: World) -> None:
    raw = world.raw()
    world.tell(raw, "dead", "not-found")
    assert lost(world.account()) == [("fetch", at(raw, RAW))]


def test_a_dead_letter_is_open_until_it_is_sent_back_and_its_record_ends(world: World) -> None:
    letter = world.bury(world.raw())
    account = world.account()
    assert (kinds(account), account.dead) == ({"dead": 1}, {("fetch", "not-found"): 1})
    again = world.back(letter)
    world.tell(letter, "redriven", "not-found")
    world.stand(again)
    account = world.account()
    assert (kinds(account), account.dead) == ({"waiting": 1}, {})
    world.stand(again, past=True)
    world.bury(again)
    account = world.account()
    assert (kinds(account), account.dead) == ({"dead": 1}, {("fetch", "not-found"): 1})


class TestTheDoorsDeadLetters:
    def test_are_a_line_of_their_own_open_or_sent_back(self, world: World) -> None:
        first, _ = put_at_the_door(world), put_at_the_door(world)
        account = world.account()
        assert (account.pages, dict(account.door)) == ({}, {"kept": 2})
        assert account.dead == {("ingest", "lead-id-missing"): 2}
        again = world.back(first)
        world.tell(first, "redriven", stage="ingest")
        world.stand(again)
        assert dict(world.account().door) == {"kept": 1, "waiting": 1}
        world.stand(again, past=True)
        assert [(each.at, each.stage) for each in world.account().lost.examples] == [(first.origin, "fetch")]
        world.arrive(again)
        account = world.account()
        assert dict(account.door) == {"kept": 1, "fetched": 1}
        assert account.dead == {("ingest", "lead-id-missing"): 1}
        assert account.holds


def put_at_the_door(world: World) -> Received:
    """A dead letter as the door writes it; returned as `dead redrive` reads it."""
    said = headers({"stage": "ingest", "fate-reason": "lead-id-missing"})
    raw = world.raw()
    put = world.cluster.put(Record(topic=DEAD, key=raw.key, value=raw.value, headers=said))
    world.cluster._logs[raw.topic][raw.partition].pop()  # noqa: SLF001  it never was on raw
    return replace(put, headers=said + headers({"origin": f"dead:{put.partition}@{put.offset}"}))


class TestCompaction:
    def test_an_older_notification_of_a_lead_is_fetched_by_the_details_of_a_later_one(self, world: World) -> None:
        first = world.raw(lead="55459717045641545")
        second = world.raw(lead="55459717045641545")
        world.fetch(first)
        world.arrive(second)
        keep_last(world, DETAILS)
        keep_last(world, LEADS)
        assert kinds(world.account()) == {"fetched": 2}

    def test_an_erased_lead_was_fetched_and_is_counted_as_erased_by_map(self, world: World) -> None:
        details = world.fetch(world.raw())
        world.arrive(world.raw())
        tombstone = world.cluster.put(Record(topic=DETAILS, key=details.key, value=None))
        world.map(tombstone)
        account = world.account()
        assert (kinds(account), account.targets[LEADS]) == ({"fetched": 2}, {"mapped": 1, "erased": 1})

    def test_a_tombstone_that_map_has_passed_over_is_found(self, world: World) -> None:
        details = world.fetch(world.raw())
        world.map(details)
        tombstone = world.cluster.put(Record(topic=DETAILS, key=details.key, value=None))
        assert lost(world.account()) == [("map", at(tombstone, DETAILS))]


def test_what_map_gave_up_is_dead_until_it_is_mapped(world: World) -> None:
    details = world.fetch(world.raw())
    world.bury(details, "damaged", stage="map")
    account = world.account()
    assert (account.targets[LEADS], account.dead) == ({"dead": 1}, {("map", "damaged"): 1})
    again = world.cluster.put(
        Record(
            topic=DETAILS,
            key=details.key,
            value=details.value,
            headers=details.headers,
            timestamp=details.timestamp,
        )
    )
    assert lost(world.account()) == [("map", at(again, DETAILS))]
    world.map(again)
    assert world.account().targets[LEADS] == {"mapped": 1}


def test_a_replay_loses_nothing_by_its_group_standing_back(world: World) -> None:
    for _ in range(4):
        world.arrive(world.raw())
    world.account()
    world.stands[RAW] = {0: 0, 1: 0}
    account = world.account()
    assert (kinds(account), account.lags["fetch"].records) == ({"fetched": 4}, 4)


def test_what_a_replay_from_raw_fetches_is_no_longer_dead(world: World) -> None:
    raw = world.raw()
    world.bury(raw)
    assert kinds(world.account()) == {"dead": 1}
    world.arrive(raw)
    assert kinds(world.account()) == {"fetched": 1}


def test_an_interval_and_a_page_count_their_own(world: World) -> None:
    first, second, third = world.raw(), world.raw(OTHER_PAGE), world.raw()
    for raw in (first, second, third):
        world.arrive(raw)
    between = world.account(since=second.timestamp, until=third.timestamp)
    assert {page: dict(counts) for page, counts in between.pages.items()} == {OTHER_PAGE: {"fetched": 1}}
    of_page = world.account(page=PAGE)
    assert {page: dict(counts) for page, counts in of_page.pages.items()} == {PAGE: {"fetched": 2}}
    assert of_page.targets[LEADS] == {"mapped": 2}


def test_what_cannot_be_read_counts_under_its_key(world: World) -> None:
    raw = world.cluster.put(Record(topic=RAW, key=b"4711", value=b"no json"))
    failure = Failure(stage="fetch", reason="not-json", error="BadChange")
    world.cluster.put(dead_letter(raw, failure, now=NOW))
    world.cluster.put(fate_record(raw, "dead", stage="fetch", reason="not-json", page_id="4711", lead_id=None))
    assert kinds(world.account(), "4711") == {"dead": 1}


def test_only_what_is_new_is_read(world: World) -> None:
    """And of each topic that has something new, the last record that is known, to see that it is still there."""
    for _ in range(50):
        world.arrive(world.raw())
    world.account()
    assert world.read == 150
    world.account()
    assert world.read == 0
    world.raw()
    world.account()
    assert world.read == 2


def test_records_below_the_first_of_raw_are_forgotten(world: World) -> None:
    for _ in range(4):
        world.arrive(world.raw())
    assert kinds(world.account()) == {"fetched": 4}
    world.expired = {world.cluster.topics(RAW)}
    account = world.account()
    assert (account.pages, account.holds) == ({}, True)


def test_records_that_are_older_than_raw_keeps_them_are_forgotten(world: World) -> None:
    world.arrive(world.raw())
    gone = world.raw()
    assert lost(world.account()) == [("fetch", at(gone, RAW))]
    world.now = NOW + 91 * 86_400_000
    account = world.account()
    assert (account.pages, account.targets[LEADS], account.holds) == ({}, {}, True)
    books = sqlite3.connect(world.folder / "books.sqlite")
    world.now += 86_400_000
    world.account()
    assert books.execute("SELECT (SELECT count(*) FROM promise) + (SELECT count(*) FROM details)").fetchone() == (0,)
    books.close()


def test_records_that_expired_before_they_were_read_are_an_alarm(world: World) -> None:
    world.arrive(world.raw())
    world.expired = {world.cluster.topics(RAW)}
    world.stands[RAW] = {0: 0, 1: 0}
    account = world.account()
    assert (account.holds, account.expired, account.lags["fetch"].expired) == (False, 1, 1)


class TestTheBooks:
    def test_are_made_anew_when_they_are_damaged(self, world: World) -> None:
        world.arrive(world.raw())
        world.account()
        (world.folder / "books.sqlite").write_bytes(b"\x00" * 64 + b"this is no database" * 100)
        account = world.account()
        assert kinds(account) == {"fetched": 1}
        assert "made anew" in account.notes[0]
        assert world.account().notes == ()

    def test_are_made_anew_for_another_cluster(self, world: World) -> None:
        world.arrive(world.raw())
        world.account()
        world.identity, world.cluster = "cluster-2", Cluster()
        account = world.account()
        assert (account.pages, "another cluster" in account.notes[0]) == ({}, True)

    def test_are_made_anew_when_a_topic_ends_before_what_was_read(self, world: World) -> None:
        for _ in range(3):
            world.arrive(world.raw())
        world.account()
        world.cluster = Cluster()
        world.arrive(world.raw())
        account = world.account()
        assert (kinds(account), len(account.notes)) == ({"fetched": 1}, 1)

    def test_are_made_anew_when_a_topic_was_made_again_and_has_grown_beyond(self, world: World) -> None:
        world.arrive(world.raw())
        world.account()
        world.cluster = Cluster()
        world.cluster._written = 500  # noqa: SLF001  later than the first
        for _ in range(3):
            world.arrive(world.raw())
        account = world.account()
        assert (kinds(account), len(account.notes)) == ({"fetched": 3}, 1)

    def test_go_on_after_a_kill_in_the_middle(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was written goes with how far it was read: nothing is counted twice, nothing is left out."""
        monkeypatch.setattr("deploy.account.reading._AT_ONCE", 7)
        for _ in range(20):
            world.arrive(world.raw())
        plain = ENTRIES[DETAILS]
        left = 10

        def killed(received: Received) -> Iterator[tuple[str, tuple[str | int | None, ...]]]:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return plain(received)

        with monkeypatch.context() as patched:
            patched.setitem(ENTRIES, DETAILS, killed)
            with pytest.raises(KeyboardInterrupt):
                world.account()
        account = world.account()
        assert kinds(account) == {"fetched": 20}
        assert world.read < 60
        assert account.notes == ()

    def test_hold_no_more_than_ids_and_are_for_their_owner_only(self, world: World) -> None:
        world.arrive(world.raw())
        world.account()
        assert (world.folder / "books.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_may_not_be_asked_now_is_told_and_a_pause_that_is_over_is_not(world: World) -> None:
    told: Sequence[tuple[str, str, int | None]] = (
        ("page:1", "broken", None),
        ("page:2", "paused", world.now + 1000),
        ("page:3", "paused", world.now - 1000),
        ("page:4", "broken", None),
        ("page:4", "open", None),
    )
    for key, state, until in told:
        value = {"state": state, "until": until, "reason": "no-token", "at": NOW, "page_id": key[5:]}
        world.cluster.put(Record(topic=ACCESS, key=key.encode(), value=json.dumps(value).encode()))
    assert [(each.key, each.state) for each in world.account().access] == [("page:1", "broken"), ("page:2", "paused")]


def test_lags_tell_what_is_left_and_how_old_the_oldest_is(world: World) -> None:
    first = world.raw()
    waiting = world.wait(world.raw())
    details = world.fetch(world.raw())
    world.stand(first)
    world.stand(waiting)
    world.stand(details)
    lags = world.account().lags
    assert {group: (lag.records, lag.oldest) for group, lag in lags.items()} == {
        "fetch": (3, first.timestamp),
        "retry": (1, waiting.timestamp),
        "map": (1, details.timestamp),
    }
