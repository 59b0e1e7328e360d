"""What was parked goes back once its page may be asked, in its order, once, and no further when it no longer may."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest
import stamina
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingest.meta.pages import PageAccess
from ingest.reading import Offsets, ReadingError
from ingest.records import AGAIN, FATES, PARKED, HeaderName, Received, Record, headers
from processors.access import AccessStates, Standing, State, access_record
from processors.parked import Parked
from processors.releaser import REST_MS, Releaser
from tests.cluster import NOW, Cluster

SECRET = SecretStr("hash-key")
OPEN, OTHER, UNKNOWN = "102", "104", "106"
MANY = 1450  # more than are read at once


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end."""
    with stamina.set_testing(True, attempts=10):
        yield


class Counting(Cluster):
    """A cluster that counts how often parts of a topic were read."""

    reads = 0

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        self.reads += until is not None
        return super().read(topic, since, until)


class Scene:
    """A releaser over a cluster in memory; what it writes is read as the real one reads it."""

    def __init__(self, *, holds: Sequence[int] = (0, 1)) -> None:
        self.cluster = Counting()
        self.now = NOW
        self.holds = list(holds)
        self.states = AccessStates(secret=SECRET, clock=lambda: self.now)
        self.parked = Parked()
        self.releaser = self.another()
        self._taken: dict[str, int] = {}

    def another(self) -> Releaser:
        return Releaser(
            parked=self.parked,
            states=self.states,
            pages=self,
            holds=lambda: self.holds,
            reader=self.cluster,
            producer=self.cluster,
            topics=self.cluster.topics,
            clock=lambda: self.now,
        )

    def get(self, page_id: str) -> PageAccess | None:
        """The pages file: without UNKNOWN."""
        return None if page_id == UNKNOWN else PageAccess(page_id=page_id, token=SecretStr(f"token-{page_id}"))

    def park(
        self, page: str, number: int, *, reason: str = "token-expired", attempt: int = 1, padding: int = 0
    ) -> None:
        said: dict[HeaderName, str | int] = {
            "origin": f"{page}@{number}",
            "attempt": attempt,
            "fate-reason": reason,
            "first-failed-at": NOW,
        }
        change = {"field": "leadgen", "value": {"leadgen_id": str(number), "page_id": page}, "x": "x" * padding}
        value = json.dumps(change).encode()
        self.cluster.put(Record(topic=PARKED, key=page.encode(), value=value, headers=headers(said)))

    def says(self, page: str, state: State) -> None:
        until = self.now + 60_000 if state == "paused" else None
        standing = Standing(state=state, key=f"page:{page}", reason="permission", until=until, at=NOW)
        self.states.follow(self.cluster.put(access_record(standing)))

    def look(self, releaser: Releaser | None = None) -> list[dict[str, object]]:
        """One look, after everything that is there was read; the log lines."""
        self.read()
        with capture_logs() as logs:
            asyncio.run((releaser or self.releaser).look())
        return [dict(line) for line in logs]

    def read(self) -> None:
        for received in self.cluster.on(PARKED)[self._taken.get(PARKED, 0) :]:
            self.parked.take_parked(received)
        for received in self.cluster.on(FATES):
            self.parked.take_fate(received)
        self._taken[PARKED] = len(self.cluster.on(PARKED))

    def again(self, page: str) -> list[str]:
        return [
            received.origin.removeprefix(f"{page}@")
            for received in self.cluster.on(AGAIN)
            if received.key == page.encode()
        ]

    def closed(self) -> list[dict[str, object]]:
        return [json.loads(received.value or b"") for received in self.cluster.on(FATES)]


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_only_the_page_that_may_be_asked_is_released_in_its_order_and_once() -> None:
    scene = Scene()
    scene.says(OTHER, "broken")
    for number in range(MANY):
        scene.park(OPEN, number)
        scene.park(OTHER, number)
        scene.park(UNKNOWN, number)

    logs = scene.look()

    assert scene.again(OPEN) == numbers(MANY)
    assert (scene.again(OTHER), scene.again(UNKNOWN)) == ([], [])
    assert logs == [{"event": "parked.released", "log_level": "info", "page_id": OPEN, "records": MANY}]

    scene.says(OTHER, "open")
    assert [line["page_id"] for line in scene.look()] == [OTHER]
    assert scene.again(OTHER) == numbers(MANY)
    scene.now += REST_MS
    assert scene.look() == []
    assert len(scene.cluster.on(AGAIN)) == 2 * MANY


@pytest.mark.parametrize("state", ["doubtful", "paused", "broken"])
def test_a_page_that_is_not_open_is_not_released(state: State) -> None:
    scene = Scene()
    scene.says(OPEN, state)
    scene.park(OPEN, 0)

    assert (scene.look(), scene.again(OPEN)) == ([], [])


def test_a_record_goes_back_as_it_was_and_its_fate_names_where_it_was_parked() -> None:
    scene = Scene()
    scene.park(OPEN, 7, attempt=3)
    [parked] = scene.cluster.on(PARKED)

    scene.look()

    [again] = scene.cluster.on(AGAIN)
    assert (again.key, again.value, again.headers) == (parked.key, parked.value, parked.headers)
    assert scene.closed() == [
        {
            "fate": "released",
            "stage": "fetch",
            "origin": f"{OPEN}@7",
            "reason": "token-expired",
            "page_id": OPEN,
            "lead_id": "7",
            "topic": parked.topic,
            "partition": parked.partition,
            "offset": parked.offset,
        }
    ]


def test_what_went_up_the_whole_ladder_begins_at_its_foot() -> None:
    scene = Scene()
    scene.park(OPEN, 0, reason="exhausted", attempt=4)

    scene.look()

    [again] = scene.cluster.on(AGAIN)
    assert (again.header("attempt"), again.header("fate-reason")) == (None, "exhausted")


class Breaks(Counting):
    """Fetch meets the dead token as soon as the first records are back."""

    scene: Scene

    async def deliver(self, records: Sequence[Record]) -> None:
        await super().deliver(records)
        if records[0].topic == AGAIN:
            self.scene.says(OPEN, "broken")


def test_a_release_ends_when_the_page_breaks_again_and_goes_on_where_it_ended() -> None:
    scene = Scene()
    scene.cluster = Breaks()
    scene.cluster.scene = scene
    scene.releaser = scene.another()
    for number in range(MANY):
        scene.park(OPEN, number)

    assert [line["records"] for line in scene.look()] == [200]
    assert scene.again(OPEN) == numbers(200)

    scene.now += REST_MS
    scene.says(OPEN, "open")
    scene.look()
    assert scene.again(OPEN) == numbers(400)


def test_a_page_waits_for_some_of_another_and_not_for_the_whole() -> None:
    scene = Scene()
    for number in range(MANY):
        scene.park(OPEN, number)
    scene.park(OTHER, 0)

    scene.look()

    assert [received.key for received in scene.cluster.on(AGAIN)].index(OTHER.encode()) == 1000


def test_a_page_in_a_partition_that_another_process_holds_is_left_to_it() -> None:
    scene = Scene(holds=[])
    scene.park(OPEN, 0)

    assert scene.look() == []
    [parked] = scene.cluster.on(PARKED)
    scene.holds = [parked.partition]
    scene.look()
    assert scene.again(OPEN) == ["0"]


def test_a_page_whose_records_come_back_at_once_rests_before_it_is_released_again() -> None:
    """Where another worker's pages file lacks the token, say: it parks again what is released here."""
    scene = Scene()
    scene.park(OPEN, 0)
    scene.look()
    scene.park(OPEN, 0)

    assert scene.look() == []
    scene.now += REST_MS
    assert len(scene.look()) == 1
    assert scene.again(OPEN) == ["0", "0"]


def test_a_fate_never_goes_ahead_of_its_record() -> None:
    """A crash between the two sends a record twice; the other way round it would be lost."""
    scene = Scene()
    scene.park(OPEN, 0)
    scene.cluster.refuses = AGAIN

    with pytest.raises(Exception, match="not-acknowledged"):
        scene.look()

    assert scene.closed() == []
    scene.cluster.refuses = None
    scene.look()
    assert scene.again(OPEN) == ["0"]


def test_what_another_process_has_released_meanwhile_is_not_sent_again() -> None:
    scene = Scene()
    for number in range(3):
        scene.park(OPEN, number)
    scene.look()

    scene.parked = Parked()  # a process that starts now
    scene._taken = {}  # noqa: SLF001  the test's own
    assert scene.look(scene.another()) == []
    assert scene.again(OPEN) == numbers(3)


def test_large_records_are_read_as_memory_allows_and_none_is_left_out() -> None:
    scene = Scene()
    for number in range(5):
        scene.park(OPEN, number, padding=9 * 2**20)

    scene.look()

    assert scene.again(OPEN) == numbers(5)
    assert scene.cluster.reads == 3


class Forgets(Counting):
    """A cluster that shows nothing when asked for parts; `expired` says whether its records are gone for good."""

    expired = True

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        return {number: (end if self.expired else 0, end) for number, (_, end) in super().bounds(topic).items()}

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        return super().read(topic, since, until) if until is None else iter(())


def test_what_expired_while_it_was_parked_is_waited_for_no_longer() -> None:
    scene = Scene()
    scene.cluster = Forgets()
    scene.releaser = scene.another()
    scene.park(OPEN, 0)

    assert scene.look() == []
    assert len(scene.parked) == 0


def test_what_a_broker_does_not_show_yet_is_waited_for() -> None:
    """A leader that has just changed may not show its last records for a moment."""
    scene = Scene()
    scene.cluster = Forgets()
    scene.cluster.expired = False
    scene.releaser = scene.another()
    scene.park(OPEN, 0)

    with pytest.raises(ReadingError):
        scene.look()
    assert len(scene.parked) == 1
