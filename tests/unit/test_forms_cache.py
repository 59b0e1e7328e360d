"""A form is read once per hour for all its leads, told when it is new, and never costs a lead."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import stamina
from pydantic import SecretStr

from ingest.meta.errors import AccessLost, GraphError, Unavailable
from ingest.meta.graph import Answer, JsonObject, Snapshot, Usage
from ingest.meta.pages import PageAccess
from ingest.records import FORMS
from processors.access import Standing
from processors.asking import Turned
from processors.forms import FRESH_SECONDS, UNREADABLE_SECONDS, Forms
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

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        self.asked += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        parsed: JsonObject = {"id": form_id, "name": self.name, "leads_count": self.asked}
        return Answer(body="{}", parsed=parsed, version=None, usage=Usage())


class Cache:
    """Forms with a clock that the test moves."""

    def __init__(self, *errors: GraphError | Turned) -> None:
        self.seconds = 0.0
        self.meta = Meta(*errors)
        self.broker = Broker()
        self.forms = Forms(self.meta, self.broker, clock=lambda: self.seconds, now=lambda: 5)

    def get(self, form_id: str = "10") -> Snapshot | None:
        return asyncio.run(self.forms.get(form_id, PAGE))


def test_the_leads_of_a_form_that_come_together_ask_once() -> None:
    cache = Cache()

    async def scenario() -> list[Snapshot | None]:
        return await asyncio.gather(*(cache.forms.get("10", PAGE) for _ in range(20)))

    snapshots = asyncio.run(scenario())
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
    assert told["form"] == {"id": "10", "name": "Summer"}
    assert (told["form_id"], told["page_id"], told["version"], told["seen_at"]) == ("10", "1", last.version, 5)


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
