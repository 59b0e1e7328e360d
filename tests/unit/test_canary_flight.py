"""One run of the canary against a Meta and a Kafka of the test: what is asked of Meta, and that nothing stays there."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import stamina
from pydantic import SecretStr

from deploy.canary.flight import Canary
from deploy.canary.judging import Flight, Limits, Times, Told, Trace
from deploy.canary.lookout import Arrival
from ingest.meta.client import AskName
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import Answer, Ask, JsonObject, Key, Load, Usage
from ingest.meta.pages import PageAccess
from ingest.reading import ReadingError
from ingest.records import DETAILS, RAW, Received
from processors.access import AccessStates, Standing, State
from processors.governor import Governor

NOW = 1_795_500_000_000
FORM, PAGE = "616180339887499", PageAccess(page_id="104880339887499", token=SecretStr("a token"), app_id="7")
DUMMY: JsonObject = {"name": "email", "values": ["test@meta.com"]}
CHOSEN: JsonObject = {"name": "email", "values": ["a.person@example.com"]}
OVER = OverBudget("business-limit", scope="page", regain_after=60.0)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def used(percent: float) -> Usage:
    """An app's budget, as the headers of an answer tell of it."""
    return Usage(app=Load(calls=percent, cpu_time=0.0, total_time=0.0))


class Meta:
    """A form's test leads; a call may be refused, the first of its method first."""

    def __init__(self) -> None:
        self.there: dict[str, JsonObject] = {}
        self.refuses: defaultdict[str, list[GraphError]] = defaultdict(list)
        self.calls: list[str] = []
        self.usage_after: dict[str, Usage] = {}  # by method: what its answer says of the app's budget

    def add(self, lead_id: str, *answers: JsonObject, created: str = "2026-11-24T05:00:00+0000") -> None:
        self.there[lead_id] = {"id": lead_id, "created_time": created, "field_data": list(answers)}

    async def ask(self, name: AskName, ask: Ask, key: Key) -> Answer:
        assert (name, key.token) == ("test-lead", PAGE.token)
        self.calls.append(f"{ask.method} {ask.path}")
        if refused := self.refuses[ask.method]:
            raise refused.pop(0)
        match ask.method:
            case "GET":
                return self._answer(ask, {"data": list(self.there.values())})
            case "POST":
                assert not self.there, "a form has one test lead at a time"
                self.add("1001", DUMMY)
                return self._answer(ask, {"id": "1001"})
            case "DELETE":
                if self.there.pop(ask.path, None) is None:
                    raise Missing("not-found")
                return self._answer(ask, {"success": True})

    def key(self, page: PageAccess) -> Key:
        return Key(token=page.token)

    def _answer(self, ask: Ask, said: JsonObject) -> Answer:
        return Answer(body="", parsed=said, version=None, usage=self.usage_after.get(ask.method, Usage()))


class Sky:
    """Where a lead is seen, after so many milliseconds, or never."""

    def __init__(self) -> None:
        self.takes: int | None = 3_000
        self.is_away = False  # the broker, from the beginning on
        self.trace: Trace | ReadingError = Trace()
        self.breaks = False
        self.begun = 0

    @asynccontextmanager
    async def watch(self) -> AsyncIterator["Sky"]:
        if self.is_away:
            raise ReadingError("leads.v1 cannot be read")
        self.begun += 1
        try:
            yield self
        finally:
            self.begun -= 1

    def arrival(self, lead_id: str) -> asyncio.Future[Arrival]:
        assert lead_id == "1001"
        if self.breaks:
            raise RuntimeError
        future: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()
        if self.takes is not None:
            future.set_result(Arrival(seen_at=NOW + self.takes, fetched_at=NOW + 2, received_at=NOW + 1, origin="0@0"))
        return future

    async def times(self, asked_at: int, arrival: Arrival) -> Times:
        return Times(asked_at=asked_at, seen_at=arrival.seen_at)

    async def look_back(self, lead_id: str) -> Trace:
        assert lead_id == "1001"
        if isinstance(self.trace, ReadingError):
            raise self.trace
        return self.trace


class Scene:
    """A canary with all it needs; `told` is what everyone was told of budgets and access."""

    def __init__(self, timeout: float = 120.0) -> None:
        self.meta, self.sky = Meta(), Sky()
        self.told: list[Standing] = []
        self.stop = asyncio.Event()
        self.states = AccessStates(secret=SecretStr("secret"), clock=lambda: NOW)
        self._governor = Governor(self.states, clock=lambda: NOW, quiet_ms=60_000)
        self._canary = Canary(
            graph=self.meta,
            governor=self._governor,
            told=self._tell,
            watch=self.sky.watch,
            limits=Limits(timeout=timeout, objective=60.0),
            now=lambda: NOW,
        )

    async def _tell(self) -> None:
        self.told += self._governor.news()

    def page_is(self, state: State, reason: str, until: int | None = None) -> None:
        self.states.put(Standing(state=state, key=self.states.key(PAGE, "page"), reason=reason, until=until))

    def fly(self) -> Flight:
        flight = asyncio.run(self._canary.fly(FORM, PAGE, self.stop))
        assert self.sky.begun == 0, "nobody looks any more"
        return flight


def test_a_test_lead_is_made_seen_and_deleted_with_three_calls() -> None:
    scene = Scene()
    assert scene.fly() == Flight(
        form_id=FORM, outcome="in-time", lead_id="1001", times=Times(asked_at=NOW, seen_at=NOW + 3_000)
    )
    assert scene.meta.calls == [f"GET {FORM}/test_leads", f"POST {FORM}/test_leads", "DELETE 1001"]
    assert scene.meta.there == {}


def test_one_that_comes_after_the_objective_is_late_and_deleted() -> None:
    scene = Scene()
    scene.sky.takes = 60_001
    assert scene.fly().outcome == "late"
    assert scene.meta.there == {}


def test_one_that_does_not_come_is_looked_for_and_deleted() -> None:
    scene = Scene(timeout=0.01)
    scene.sky.takes = None
    flight = scene.fly()
    assert (flight.outcome, flight.stuck, flight.times) == ("lost", "door", Times(asked_at=NOW))
    assert scene.meta.there == {}


def on(topic: str) -> Received:
    return Received(topic=topic, partition=0, offset=0, key=b"1001", value=b"x", headers=(), timestamp=NOW)


def test_while_nobody_has_fetched_the_last_one_no_other_is_made() -> None:
    """Each would be one more that is missing when fetch runs again: five in a row, and it parks the whole page."""
    scene = Scene(timeout=0.01)
    scene.sky.takes, scene.sky.trace = None, Trace(raw=on(RAW))
    first = scene.fly()
    assert (first.outcome, first.stuck, len(scene.meta.calls)) == ("lost", "fetch", 3)
    assert scene.fly() == first
    assert len(scene.meta.calls) == 3

    scene.sky.trace = Trace(raw=on(RAW), told=Told(stage="fetch", fate="parked", reason="not-found"))
    scene.sky.takes = 3_000
    assert scene.fly().outcome == "in-time"
    scene.sky.trace = Trace(raw=on(RAW))
    assert scene.fly().outcome == "in-time", "what is over is not looked at again"


@pytest.mark.parametrize(
    "trace",
    [
        Trace(),
        Trace(raw=on(RAW), details=on(DETAILS)),
        Trace(raw=on(RAW), told=Told(stage="fetch", fate="waiting", reason="timeout")),
    ],
)
def test_one_that_was_lost_elsewhere_does_not_keep_the_next_one_from_flying(trace: Trace) -> None:
    scene = Scene(timeout=0.01)
    scene.sky.takes, scene.sky.trace = None, trace
    assert scene.fly().outcome == "lost"
    scene.sky.takes = 3_000
    assert scene.fly().outcome == "in-time"


def test_one_that_cannot_even_be_looked_for_is_lost_and_deleted() -> None:
    scene = Scene(timeout=0.01)
    scene.sky.takes, scene.sky.trace = None, ReadingError("the broker is away")
    flight = scene.fly()
    assert (flight.outcome, flight.stuck, flight.left) == ("lost", None, None)
    assert scene.meta.there == {}


def test_told_to_stop_it_waits_no_longer_and_deletes_its_lead() -> None:
    scene = Scene()
    scene.sky.takes = None
    scene.stop.set()
    assert scene.fly().outcome == "stopped"
    assert scene.meta.there == {}


def test_a_defect_on_the_way_leaves_no_test_lead_at_meta() -> None:
    scene = Scene()
    scene.sky.breaks = True
    with pytest.raises(RuntimeError):
        scene.fly()
    assert scene.meta.there == {}


def test_what_a_killed_run_has_left_is_deleted_first() -> None:
    scene = Scene()
    scene.meta.add("900", DUMMY)
    assert scene.fly().outcome == "in-time"
    assert scene.meta.calls[1:] == ["DELETE 900", f"POST {FORM}/test_leads", "DELETE 1001"]


def test_answers_that_somebody_chose_are_left_alone() -> None:
    scene = Scene()
    scene.meta.add("900", CHOSEN)
    flight = scene.fly()
    assert (flight.outcome, flight.reason, flight.lead_id) == ("occupied", "chosen", "900")
    assert list(scene.meta.there) == ["900"]
    assert scene.meta.calls == [f"GET {FORM}/test_leads"]


def test_one_that_may_be_waited_for_right_now_is_left_alone() -> None:
    """A form's only test lead is the lock that keeps two canaries apart, on whatever machines they are."""
    scene = Scene()
    scene.meta.add("900", DUMMY, created="2026-11-24T05:58:01+0000")  # 119 seconds ago
    flight = scene.fly()
    assert (flight.outcome, flight.reason) == ("occupied", "young")
    assert list(scene.meta.there) == ["900"]
    scene.meta.add("900", DUMMY, created="2026-11-24T05:58:00+0000")
    assert scene.fly().outcome == "in-time"


@pytest.mark.parametrize(("state", "until"), [("paused", NOW + 60_000), ("broken", None)])
def test_a_page_that_is_paused_or_broken_is_not_asked(state: State, until: int | None) -> None:
    scene = Scene()
    scene.page_is(state, "why", until)
    flight = scene.fly()
    assert (flight.outcome, flight.reason, scene.meta.calls) == ("not-asked", "why", [])


def test_what_is_left_of_a_small_budget_belongs_to_leads() -> None:
    scene = Scene()
    scene.meta.usage_after["DELETE"] = used(80.0)
    assert scene.fly().outcome == "in-time"
    assert (scene.fly().reason, len(scene.meta.calls)) == ("background", 3)


def test_where_nobody_would_see_it_nothing_is_made() -> None:
    scene = Scene()
    scene.sky.is_away = True
    assert (scene.fly().outcome, scene.meta.calls) == ("unread", [])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("error", [AccessLost("permission", scope="page"), BadAsk("bad-ask"), Unavailable("timeout")])
def test_where_meta_makes_none_the_reason_is_told_and_breaks_nothing(method: str, error: GraphError) -> None:
    """That no test lead may be made says nothing of real ones: they need another permission."""
    scene = Scene()
    scene.meta.refuses[method].append(error)
    flight = scene.fly()
    assert (flight.outcome, flight.reason, scene.told) == ("not-made", error.reason, [])


def test_a_used_up_budget_is_told_to_everyone() -> None:
    scene = Scene()
    scene.meta.refuses["POST"].append(OVER)
    assert (scene.fly().reason, [standing.state for standing in scene.told]) == ("business-limit", ["paused"])
    assert scene.fly().outcome == "not-asked"


def test_a_deletion_that_goes_unanswered_is_tried_again() -> None:
    scene = Scene()
    scene.meta.refuses["DELETE"] += [Unavailable("timeout"), Unavailable("server-error")]
    assert scene.fly().left is None
    assert scene.meta.there == {}


def test_a_test_lead_that_is_gone_already_is_deleted() -> None:
    scene = Scene()
    scene.meta.refuses["DELETE"].append(Missing("not-found"))
    assert scene.fly().left is None


@pytest.mark.parametrize(
    ("errors", "reason", "tries"), [([Unavailable("timeout")] * 9, "timeout", 4), ([OVER], "business-limit", 1)]
)
def test_one_that_cannot_be_deleted_is_told(errors: list[GraphError], reason: str, tries: int) -> None:
    scene = Scene()
    scene.meta.refuses["DELETE"] += errors
    flight = scene.fly()
    assert (flight.outcome, flight.left) == ("in-time", reason)
    assert scene.meta.calls.count("DELETE 1001") == tries


def test_a_budget_that_ends_meanwhile_is_asked_for_nothing_more() -> None:
    """Also not for the deletion: each call to a used-up budget makes the wait longer. The next run deletes it."""
    scene = Scene()
    scene.meta.usage_after["POST"] = used(100.0)
    flight = scene.fly()
    assert (flight.outcome, flight.left, scene.meta.calls[-1]) == ("in-time", "app-limit", f"POST {FORM}/test_leads")
    scene = Scene()
    scene.meta.usage_after["GET"] = used(80.0)
    assert (scene.fly().reason, scene.meta.calls) == ("background", [f"GET {FORM}/test_leads"])
