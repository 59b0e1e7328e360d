"""The window never lets a commit pass a record that is not done, whatever order things happen in."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from processors.window import Ledger, Partition, Window

RAW = Partition("meta.leadgen.raw", 0)
OTHER = Partition("meta.leadgen.raw", 1)


class Assignments(RuleBasedStateMachine):
    """A partition that is read, completed in any order, lost and won back; the model knows what is durably done."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.generation = 0
        self.committed = 0
        self.position: int | None = None
        self.truly_done: set[int] = set()
        self.log_end = 0

    @rule()
    def rebalance(self) -> None:
        """The group starts over: reading goes on from what was committed."""
        self.generation += 1
        self.ledger.assign({RAW: self.committed}, self.generation)
        self.position = self.committed

    @precondition(lambda self: self.position is not None)
    @rule()
    def go_back(self) -> None:
        """Within an assignment the consumer may seek to what is committed: what is open stays open."""
        self.ledger.assign({RAW: self.committed}, self.generation)

    @precondition(lambda self: self.position is not None)
    @rule(target=opened, passed_over=st.integers(0, 3))
    def read(self, passed_over: int) -> tuple[int, int]:
        """The next record arrives; compaction may have removed some before it."""
        assert self.position is not None
        offset = self.position + passed_over
        self.truly_done |= set(range(self.position, offset))
        self.position = offset + 1
        assert self.ledger.open(RAW, offset, self.generation)
        return offset, self.generation

    @precondition(lambda self: self.position is not None)
    @rule(record=opened)
    def read_again(self, record: tuple[int, int]) -> None:
        """The consumer went back to the committed offset: a record of this assignment must not be opened twice."""
        offset, generation = record
        if generation == self.generation:
            assert not self.ledger.open(RAW, offset, generation)

    @rule(record=opened)
    def arrives_late(self, record: tuple[int, int]) -> None:
        """A record that was read under an older assignment is not taken in."""
        offset, generation = record
        if generation != self.generation:
            assert not self.ledger.open(RAW, offset, generation)

    @rule(record=consumes(opened))
    def complete(self, record: tuple[int, int]) -> None:
        """Work ends, perhaps long after its partition was given away."""
        offset, generation = record
        self.truly_done.add(offset)
        self.ledger.close(RAW, offset, generation)

    @rule()
    def commit(self) -> None:
        mark = self.ledger.low_marks().get(RAW)
        if mark is not None:
            self.committed = mark

    @rule()
    def revoke(self) -> None:
        self.ledger.revoke([RAW])
        self.position = None

    @invariant()
    def nothing_open_is_passed(self) -> None:
        """Everything below what may be committed is done, or does not exist."""
        mark = self.ledger.low_marks().get(RAW)
        if mark is not None:
            assert set(range(mark)) <= self.truly_done
        assert set(range(self.committed)) <= self.truly_done


TestAssignments = Assignments.TestCase
TestAssignments.settings = settings(stateful_step_count=40)


def test_the_mark_waits_for_the_oldest_open_record() -> None:
    ledger = Ledger()
    ledger.assign({RAW: 10}, 1)
    for offset in (10, 11, 12):
        ledger.open(RAW, offset, 1)

    ledger.close(RAW, 11, 1)
    ledger.close(RAW, 12, 1)
    assert ledger.low_marks() == {RAW: 10}

    ledger.close(RAW, 10, 1)
    assert ledger.low_marks() == {RAW: 13}


def test_an_assignment_of_which_nothing_was_read_stands_where_it_began() -> None:
    ledger = Ledger()
    ledger.assign({RAW: 7}, 1)
    assert ledger.low_marks() == {RAW: 7}


def test_a_record_from_before_where_reading_began_is_not_taken_in() -> None:
    ledger = Ledger()
    ledger.assign({RAW: 7}, 1)
    assert not ledger.open(RAW, 6, 1)
    assert ledger.low_marks() == {RAW: 7}


def test_work_that_ends_after_a_reassignment_is_not_counted() -> None:
    ledger = Ledger()
    ledger.assign({RAW: 5}, 1)
    ledger.open(RAW, 5, 1)
    ledger.assign({RAW: 5}, 2)
    ledger.open(RAW, 5, 2)

    ledger.close(RAW, 5, 1)
    assert ledger.low_marks() == {RAW: 5}


class Work:
    """Work that starts when the window says and ends when the test says."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = False

    async def __call__(self) -> None:
        self.started.set()
        await self.may_end.wait()
        self.ended = True


def open_window(size: int = 10, reach: int = 100) -> tuple[Window, list[Exception]]:
    seen: list[Exception] = []
    window = Window(size=size, on_defect=seen.append, reach=reach)
    window.assign({RAW: 0, OTHER: 0}, 1)
    return window, seen


def admit(
    window: Window, offset: int, work: Callable[[], Awaitable[None]], *, key: str = "", generation: int = 1
) -> Coroutine[None, None, None]:
    return window.admit(RAW, offset, generation, key=key or str(offset), work=work)


def test_records_of_one_key_run_one_after_another() -> None:
    async def scenario() -> None:
        window, _ = open_window()
        first, second, other = Work(), Work(), Work()
        await admit(window, 0, first, key="lead")
        await admit(window, 1, second, key="lead")
        await admit(window, 2, other, key="another")
        await first.started.wait()
        await other.started.wait()
        assert not second.started.is_set()

        first.may_end.set()
        await second.started.wait()
        assert first.ended

        second.may_end.set()
        other.may_end.set()
        assert await window.drain(1)
        assert window.low_marks() == {RAW: 3, OTHER: 0}

    asyncio.run(scenario())


def test_a_full_window_stops_the_reader_until_a_record_is_done() -> None:
    async def scenario() -> None:
        window, _ = open_window(size=1)
        first, second = Work(), Work()
        await admit(window, 0, first)
        reader = asyncio.create_task(admit(window, 1, second))
        await first.started.wait()
        assert not reader.done()

        first.may_end.set()
        await reader
        await second.started.wait()
        second.may_end.set()
        assert await window.drain(1)

    asyncio.run(scenario())


def test_the_reader_stops_where_one_open_record_has_kept_the_mark_too_far_back() -> None:
    """Else a single lead that waits for days would grow memory, and what is read again, without end."""

    async def done() -> None:
        return

    async def scenario() -> None:
        window, _ = open_window(reach=3)
        oldest = Work()
        await admit(window, 0, oldest)
        await admit(window, 1, done)
        await admit(window, 2, done)
        reader = asyncio.create_task(admit(window, 3, done))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reader.done()

        oldest.may_end.set()
        await reader
        assert await window.drain(1)
        assert window.low_marks() == {RAW: 4, OTHER: 0}

    asyncio.run(scenario())


def test_a_reader_that_waits_is_let_go_when_its_partition_is_taken_away() -> None:
    async def scenario() -> None:
        window, _ = open_window(reach=1)
        await admit(window, 0, Work())
        reader = asyncio.create_task(admit(window, 1, Work()))
        await asyncio.sleep(0)
        await window.revoke([RAW])
        await reader
        assert len(window) == 0

    asyncio.run(scenario())


def test_work_that_raises_is_reported_and_never_committed_past() -> None:
    async def scenario() -> None:
        window, seen = open_window()

        async def fails() -> None:
            raise ValueError("a defect")

        async def succeeds() -> None:
            return

        await admit(window, 0, fails, key="lead")
        await admit(window, 1, succeeds)
        assert await window.drain(1)
        assert [type(error) for error in seen] == [ValueError]
        assert window.low_marks()[RAW] == 0

    asyncio.run(scenario())


def test_the_record_behind_a_defect_of_its_key_does_not_overtake_it() -> None:
    async def scenario() -> None:
        window, seen = open_window()
        go = asyncio.Event()

        async def fails() -> None:
            await go.wait()
            raise ValueError("a defect")

        later = Work()
        await admit(window, 0, fails, key="lead")
        await admit(window, 1, later, key="lead")
        go.set()
        assert not await window.drain(0.02)
        assert seen
        assert not later.started.is_set()
        await window.revoke([RAW])

    asyncio.run(scenario())


def test_revoked_records_are_stopped_and_left_uncommitted() -> None:
    async def scenario() -> None:
        window, seen = open_window()
        mine, theirs = Work(), Work()
        await window.admit(RAW, 7, 1, key="a", work=theirs)
        await window.admit(OTHER, 3, 1, key="b", work=mine)
        await theirs.started.wait()

        await window.revoke([RAW])
        assert window.low_marks() == {OTHER: 3}
        assert not theirs.ended
        assert not seen

        mine.may_end.set()
        assert await window.drain(1)
        assert window.low_marks() == {OTHER: 4}

    asyncio.run(scenario())


def test_a_drain_that_takes_too_long_says_so() -> None:
    async def scenario() -> None:
        window, _ = open_window()
        stuck = Work()
        await admit(window, 0, stuck)
        assert not await window.drain(0.01)
        assert window.low_marks()[RAW] == 0
        await window.revoke([RAW])

    asyncio.run(scenario())


@given(
    order=st.permutations(range(8)),
    keys=st.lists(st.sampled_from("abc"), min_size=8, max_size=8),
    stop_after=st.integers(0, 8),
)
def test_whatever_order_work_ends_in_the_mark_passes_only_what_ended(
    order: list[int], keys: list[str], stop_after: int
) -> None:
    async def scenario() -> None:
        window, _ = open_window(size=8)
        works = [Work() for _ in range(8)]
        for offset, work in enumerate(works):
            await admit(window, offset, work, key=keys[offset])
        for offset in order[:stop_after]:
            works[offset].may_end.set()
            for _ in range(20):
                await asyncio.sleep(0)
            mark = window.low_marks()[RAW]
            assert all(work.ended for work in works[:mark])
            assert mark == 8 or not works[mark].ended
        await window.revoke([RAW])

    asyncio.run(scenario())


@pytest.mark.parametrize("generation", [0, 2])
def test_a_record_of_another_generation_is_dropped(generation: int) -> None:
    async def scenario() -> None:
        window, _ = open_window()
        await admit(window, 0, Work(), generation=generation)
        assert len(window) == 0
        assert window.low_marks() == {RAW: 0, OTHER: 0}

    asyncio.run(scenario())
