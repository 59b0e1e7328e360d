"""What waits is never taken for what is over, whatever order the two topics are read in."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import FATES, PARKED, RAW, Fate, Received, fate_record, headers
from processors.parked import Parked

NOW = 1_795_000_000_000
PAGES = ("100", "200", "300")
OVER: tuple[Fate, ...] = ("fetched", "dead", "skipped", "duplicate", "waiting", "redriven")


class History:
    """What fetch and the releaser have written, a second apart; and what waits after it."""

    def __init__(self) -> None:
        self.parked: list[Received] = []
        self.fates: list[Received] = []
        self.waits: dict[str, Received] = {}
        self._now = NOW

    def park(self, origin: int, *, reason: str = "token-expired") -> Received:
        """Fetch parks the record of this origin, and tells so. A page's records lie in one partition."""
        self._now += 1000
        page = PAGES[origin % len(PAGES)]
        partition = int(page) % 2
        parked = Received(
            topic=PARKED,
            partition=partition,
            offset=sum(1 for each in self.parked if each.partition == partition),
            key=page.encode(),
            value=b"{}",
            headers=headers({"origin": f"0@{origin}", "fate-reason": reason}),
            timestamp=self._now,
        )
        self.parked.append(parked)
        self.waits[parked.origin] = parked
        self.tell("parked", self._read_at(origin), timestamp=self._now)
        return parked

    def release(self, parked: Received) -> None:
        if self.waits.get(parked.origin) == parked:
            del self.waits[parked.origin]
        self.tell("released", parked)

    def end(self, origin: int, fate: Fate) -> None:
        self.waits.pop(f"0@{origin}", None)
        self.tell(fate, self._read_at(origin))

    def tell(self, fate: Fate, of: Received, *, timestamp: int | None = None, stage: str = "fetch") -> None:
        self._now += 1000
        record = fate_record(of, fate, stage="fetch", reason="-", page_id=None, lead_id=None)
        self.fates.append(
            Received(
                topic=FATES,
                partition=0,
                offset=len(self.fates),
                key=f"{stage}/{of.origin}".encode(),
                value=record.value,
                headers=(),
                timestamp=timestamp or self._now,
            )
        )

    @staticmethod
    def _read_at(origin: int) -> Received:
        return Received(topic=RAW, partition=0, offset=origin, key=None, value=b"{}", headers=(), timestamp=NOW)


def taken(history: History) -> Parked:
    """Parked records first, as `work retry` reads them."""
    parked = Parked()
    for received in history.parked:
        parked.take_parked(received)
    for received in history.fates:
        parked.take_fate(received)
    return parked


def places(parked: Parked) -> set[tuple[str, int, int]]:
    found = [each for page_id in parked.pages() for each in parked.of(page_id)]
    assert len(found) == len(parked) == sum(parked.pages().values())
    return {(each.origin, each.partition, each.offset) for each in found}


def truth(history: History) -> set[tuple[str, int, int]]:
    return {(origin, each.partition, each.offset) for origin, each in history.waits.items()}


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    for _ in range(draw(st.integers(0, 25))):
        origin = draw(st.integers(0, 5))
        match draw(st.sampled_from(["park", "release", "end", "other stage"])):
            case "park":
                history.park(origin)
            case "release" if history.parked:
                history.release(draw(st.sampled_from(history.parked)))
            case "end":
                history.end(origin, draw(st.sampled_from(OVER)))
            case "other stage":
                history.tell("dead", History._read_at(origin), stage="map")  # noqa: SLF001  the test's own
    return history


@given(histories())
def test_what_waits_is_what_has_not_come_to_an_end(history: History) -> None:
    assert places(taken(history)) == truth(history)


@given(histories())
def test_it_is_the_same_when_only_the_last_fate_of_each_record_is_left(history: History) -> None:
    """Compaction forgets the others, though not in one step."""
    last = {received.key: received for received in history.fates}
    history.fates = list(last.values())
    found = places(taken(history))
    assert found >= truth(history)
    # A fate of a record that was released though it had come to an end hides that end.
    hidden = {origin for origin, _, _ in found - truth(history)}
    assert {json.loads(last[f"fetch/{origin}".encode()].value or b"")["fate"] for origin in hidden} <= {"released"}


@given(histories(), st.randoms(use_true_random=False))
def test_nothing_that_waits_is_closed_in_whatever_order_the_topics_are_read(
    history: History, chance: random.Random
) -> None:
    """And what was released or parked again is closed; another end, read too early, may be missed."""
    parked = Parked()
    records, fates = iter(history.parked), iter(history.fates)
    left = [parked.take_parked] * len(history.parked) + [parked.take_fate] * len(history.fates)
    chance.shuffle(left)
    for take in left:
        take(next(records if take == parked.take_parked else fates))

    found = places(parked)
    assert found >= truth(history)
    newest = {each.origin: (each.origin, each.partition, each.offset) for each in history.parked}
    released = {
        (received.key or b"").decode().removeprefix("fetch/") + f"@{told['partition']}@{told['offset']}"
        for received in history.fates
        if (told := json.loads(received.value or b""))["fate"] == "released"
    }
    assert found <= set(newest.values())
    assert not {f"{origin}@{partition}@{offset}" for origin, partition, offset in found} & released


def test_a_page_is_told_in_the_order_in_which_it_was_parked() -> None:
    history = History()
    for origin in (3, 0, 6, 1):
        history.park(origin, reason="no-token")
    history.park(0)

    parked = taken(history)

    assert [(each.origin, each.reason) for each in parked.of("100")] == [
        ("0@3", "no-token"),
        ("0@6", "no-token"),
        ("0@0", "token-expired"),
    ]
    assert parked.pages() == {"100": 3, "200": 1}


@pytest.mark.parametrize("fate", OVER)
def test_a_record_that_came_to_another_end_waits_no_longer(fate: Fate) -> None:
    """Or is on its way by itself: of what was released and then waits on a rung, compaction leaves the last fate."""
    history = History()
    history.park(0)
    history.park(3)
    history.end(0, fate)

    assert places(taken(history)) == {("0@3", 0, 1)}


def test_of_a_record_in_two_partitions_the_later_one_waits_whichever_is_read_first() -> None:
    """Somebody has changed its key; two partitions have no common order."""
    history = History()
    first = history.park(0)
    later = replace(first, partition=1, offset=0, timestamp=first.timestamp + 1)

    for order in ((first, later), (later, first)):
        parked = Parked()
        for received in order:
            parked.take_parked(received)
        assert places(parked) == {("0@0", 1, 0)}


def test_an_end_from_before_it_was_parked_leaves_a_record_waiting() -> None:
    """It was fetched, and a replay met a dead token: what is read late speaks of the first time."""
    history = History()
    history.end(0, "fetched")
    history.park(0)

    assert places(taken(history)) == {("0@0", 0, 0)}


def test_a_fate_of_the_same_moment_leaves_a_record_waiting() -> None:
    history = History()
    parked = history.park(0)
    history.tell("fetched", parked, timestamp=parked.timestamp)

    assert len(taken(history)) == 1


def test_what_was_closed_here_is_not_waited_for_before_its_fate_is_read() -> None:
    history = History()
    history.park(0)
    parked = taken(history)
    [waiting] = parked.of("100")

    parked.close(waiting)
    parked.close(waiting)

    assert (list(parked.of("100")), parked.waits(waiting), parked.pages()) == ([], False, {})


def test_what_is_no_fate_says_nothing() -> None:
    history = History()
    history.park(0)
    parked = taken(history)

    for value in (None, b"\xff", b"[]", b'{"fate": "released"}', b'{"fate": "dead", "partition": "x", "offset": 0}'):
        parked.take_fate(
            Received(
                topic=FATES, partition=0, offset=9, key=b"fetch/0@0", value=value, headers=(), timestamp=NOW + 99_999
            )
        )

    assert len(parked) == 1
