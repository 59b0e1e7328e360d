"""A form is read once per hour for all its leads, again for a question that nobody knows, and never costs a lead."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest
import stamina
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingest.kafka import NotAcknowledged
from ingest.meta.errors import AccessLost, GraphError, Unavailable
from ingest.meta.graph import Answer, JsonObject, Snapshot, Usage, snapshot
from ingest.meta.pages import PageAccess
from ingest.records import FORMS
from processors.access import Standing
from processors.asking import Turned
from processors.form_history import FormHistory, Given
from processors.forms import AGAIN_SECONDS, FRESH_SECONDS, UNREADABLE_SECONDS, Forms
from tests.doubles import Broker

PAGE = PageAccess(page_id="1", token=SecretStr("token"))


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Without pauses; a hundred attempts stand for attempts without end, and fewer limits stay as they are."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield


class Meta:
    def __init__(self, *errors: GraphError | Turned) -> None:
        self.errors = list(errors)
        self.asked = 0
        self.name = "Spring"
        self.status = "ACTIVE"
        self.questions: Sequence[str] = ()

    @property
    def node(self) -> JsonObject:
        return {
            "id": "10",
            "name": self.name,
            "status": self.status,
            "questions": [{"key": key, "type": "CUSTOM"} for key in self.questions],
        }

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        self.asked += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        parsed: JsonObject = {**self.node, "id": form_id, "leads_count": self.asked}
        return Answer(body="{}", parsed=parsed, version=None, usage=Usage())


class Cache:
    """Forms with a clock that the test moves."""

    def __init__(self, *errors: GraphError | Turned, history: FormHistory | None = None) -> None:
        self.seconds = 0.0
        self.meta = Meta(*errors)
        self.broker = Broker()
        self.history = history or FormHistory()
        self.forms = Forms(
            self.meta, self.history, self.broker, clock=lambda: self.seconds, now=lambda: self.milliseconds
        )

    @property
    def milliseconds(self) -> int:
        return 5 + round(self.seconds * 1000)

    def get(self, *keys: str, form_id: str = "10", at: int | None = None) -> Snapshot | None:
        return asyncio.run(self.forms.get(form_id, PAGE, self.given(*keys, at=at)))

    def given(self, *keys: str, at: int | None = None) -> Given:
        return Given(at=self.milliseconds if at is None else at, keys=frozenset(keys))

    def gather(self, *leads: Given) -> list[Snapshot | None]:
        """What leads that come together get."""

        async def scenario() -> list[Snapshot | None]:
            return await asyncio.gather(*(self.forms.get("10", PAGE, lead) for lead in leads))

        return asyncio.run(scenario())


def test_the_leads_of_a_form_that_come_together_ask_once() -> None:
    cache = Cache()
    snapshots = cache.gather(*[cache.given()] * 20)
    assert cache.meta.asked == 1
    assert len({snapshot.version for snapshot in snapshots if snapshot}) == 1
    assert None not in snapshots


def test_a_form_is_asked_for_again_after_an_hour() -> None:
    cache = Cache()
    cache.get()
    cache.seconds = FRESH_SECONDS - 1
    cache.get()
    assert cache.meta.asked == 1
    cache.seconds = FRESH_SECONDS
    cache.get()
    assert cache.meta.asked == 2


def test_a_form_is_told_when_it_is_new_or_changed_and_not_for_its_counters() -> None:
    cache = Cache()
    first = cache.get()
    cache.seconds += FRESH_SECONDS
    cache.get()
    cache.seconds += FRESH_SECONDS
    cache.meta.name = "Summer"
    last = cache.get()

    assert first is not None
    assert last is not None
    assert [record.topic for record in cache.broker.records] == [FORMS, FORMS]
    assert [record.key for record in cache.broker.records] == [
        f"10@{first.version}".encode(),
        f"10@{last.version}".encode(),
    ]
    assert cache.broker.records[1].value is not None
    told = json.loads(cache.broker.records[1].value)
    assert told["form"] == cache.meta.node
    assert (told["form_id"], told["page_id"], told["version"]) == ("10", "1", last.version)
    assert told["since"] == [told["seen_at"]] == [cache.milliseconds]


def test_a_form_that_may_not_be_read_is_none_and_asked_for_again_soon() -> None:
    cache = Cache(AccessLost("permission", scope="page", code=200))
    assert cache.get() is None
    assert cache.get() is None
    assert cache.meta.asked == 1
    cache.seconds = UNREADABLE_SECONDS
    assert cache.get() is not None


def test_a_form_that_cannot_be_read_for_long_is_none() -> None:
    cache = Cache(*(Unavailable("timeout") for _ in range(5)))
    assert cache.get() is None
    assert cache.meta.asked == 5


def test_a_page_that_may_not_be_asked_now_keeps_no_empty_form() -> None:
    """The lead comes back, and then its form is asked for."""
    turned = Turned(Standing(state="paused", until=1, reason="business-limit"))
    cache = Cache(turned)
    with pytest.raises(Turned):
        cache.get()
    assert cache.get() is not None


def test_a_form_that_may_not_be_read_any_more_is_what_it_was() -> None:
    cache = Cache()
    known = cache.get()
    cache.seconds += FRESH_SECONDS
    cache.meta.errors = [AccessLost("permission", scope="page", code=200)]
    assert cache.get() == known is not None


def test_an_unknown_question_has_the_form_read_again_once() -> None:
    """At once, and for all leads that have answered it together."""
    cache = Cache()
    cache.meta.questions = ["a"]
    before = cache.get("a")
    cache.seconds = 5
    cache.meta.questions = ["a", "b"]

    assert cache.gather(*[cache.given("a", "b")] * 20) == [snapshot(cache.meta.node)] * 20
    assert cache.get("a", at=3000) == before
    assert cache.meta.asked == 2
    assert len(cache.broker.records) == 2


def test_a_question_that_reading_again_does_not_explain_is_not_asked_for_any_more() -> None:
    cache = Cache()
    cache.meta.questions = ["a"]
    form = cache.get("a")
    for _ in range(30):
        cache.seconds += 2 * AGAIN_SECONDS - 1  # within the hour
        if cache.seconds >= FRESH_SECONDS:
            break
        assert cache.get("a", "of nobody") == form
    assert cache.meta.asked == 2


def test_a_question_that_the_first_reading_does_not_show_costs_no_second_one() -> None:
    cache = Cache()
    cache.meta.questions = ["a"]
    assert cache.get("a", "of nobody") == snapshot(cache.meta.node)
    cache.seconds = 5
    cache.get("a", "of nobody")
    assert cache.meta.asked == 1


def test_unknown_questions_have_a_form_read_at_most_once_a_minute() -> None:
    """However many there are: somebody may post anything under any name."""
    cache = Cache()
    cache.get()
    for second in range(1, 601):
        cache.seconds = second
        cache.get(f"unknown {second}")
    assert cache.meta.asked == 1 + 600 // AGAIN_SECONDS


def test_another_version_may_explain_what_the_one_before_did_not() -> None:
    cache = Cache()
    cache.meta.questions = ["a"]
    cache.get("a")
    cache.seconds = 5
    cache.get("a", "b")
    cache.meta.questions = ["a", "c"]
    cache.seconds += AGAIN_SECONDS
    cache.get("a", "c")
    cache.meta.questions = ["a", "b", "c"]
    cache.seconds += AGAIN_SECONDS
    assert cache.get("a", "b") == snapshot(cache.meta.node)
    assert cache.meta.asked == 4


def test_a_version_that_another_worker_has_told_has_an_old_question_asked_about_anew() -> None:
    cache = Cache()
    cache.meta.questions = ["a"]
    cache.get("a", "b")
    news = cache.history.news("10", "1", snapshot({**cache.meta.node, "name": "Summer"}), now=1000)
    assert news is not None
    cache.history.put(news.version)

    cache.seconds = 5
    cache.meta.questions = ["a", "b"]
    assert cache.get("a", "b") == snapshot(cache.meta.node)
    assert cache.meta.asked == 2


def test_a_form_that_may_not_be_read_is_not_asked_for_every_question_either() -> None:
    cache = Cache(AccessLost("permission", scope="page", code=200))
    for number in range(20):
        assert cache.get(f"question {number}") is None
    assert cache.meta.asked == 1


def test_what_another_worker_has_told_is_known_without_a_call() -> None:
    """Within the hour for which this one has read the form."""
    history = FormHistory()
    cache = Cache(history=history)
    cache.meta.questions = ["a"]
    cache.get("a")
    edited: JsonObject = {**cache.meta.node, "questions": [{"key": "b", "type": "CUSTOM"}]}
    news = history.news("10", "1", snapshot(edited), now=1000)
    assert news is not None
    history.put(news.version)

    cache.seconds = 5
    assert cache.get("b") == snapshot(edited)
    assert cache.meta.asked == 1


def test_a_worker_that_starts_tells_nothing_of_a_form_that_is_known() -> None:
    first = Cache()
    first.get()
    second = Cache(history=first.history)
    second.get()
    assert (second.meta.asked, second.broker.records) == (1, [])


def test_an_archived_form_is_a_record_an_event_and_counted() -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("leadstream_form_events_total", {"kind": "archived"}) or 0.0

    before = counted()
    cache = Cache()
    cache.get()
    cache.seconds += FRESH_SECONDS
    cache.meta.status = "ARCHIVED"
    with capture_logs() as logs:
        cache.get()
    [event] = [each for each in logs if each["event"].startswith("form.")]
    assert (event["event"], event["form_id"], event["page_id"], event["status"]) == (
        "form.archived",
        "10",
        "1",
        "ARCHIVED",
    )
    assert counted() == before + 1
    assert len(cache.broker.records) == 2


def test_a_record_that_was_not_acknowledged_is_told_again() -> None:
    """A record given to another worker in the middle of it: the next lead tells what is new."""
    cache = Cache()
    cache.broker.refusals = 100
    with pytest.raises(NotAcknowledged):
        cache.get()
    cache.broker.refusals = 0
    assert cache.get() is not None
    assert len(cache.broker.records) == 1
