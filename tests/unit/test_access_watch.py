"""Each page's access is looked at in turn, with few calls; what changes is told once, and silence changes nothing."""

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from typing import Literal

import pytest
import stamina
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingest.meta.errors import AccessLost, GraphError, OverBudget, Unavailable
from ingest.meta.graph import Answer, Ask, JsonObject, Key, Load, Usage, app_key
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Received, Record
from processors.access import HEALTH, AccessStates, Standing, State, access_record
from processors.access_watch import FIRST_SECONDS, FIRST_TO_EXPIRE, PAGES_AT_ONCE, UNANSWERED_SECONDS, AccessWatch
from processors.asking import Asking
from processors.governor import Governor
from processors.health import HealthStates
from tests.doubles import Broker

EVERY = 3600.0
NOW = 1_795_000_000_000
DAY = 86_400
PARTITIONS = 12
SCOPES = ["leads_retrieval", "pages_manage_metadata", "pages_read_engagement", "pages_show_list", "ads_management"]


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def page(page_id: str = "1", app_id: str | None = "7") -> PageAccess:
    return PageAccess(page_id=page_id, token=SecretStr(f"token of {page_id}"), app_id=app_id)


class Meta:
    """Answers about tokens, pages and subscriptions; a refusal of a path, or of every batch, stands in their place."""

    def __init__(self) -> None:
        self.tokens: dict[str, JsonObject] = {}  # by page: what its token's answer has besides
        self.callback: str | None = "https://leads.example.com/webhook"
        self.fields: dict[str, list[str]] = {}  # by page: what we listen to there
        self.refusals: dict[str, GraphError] = {}  # by path
        self.batch: GraphError | None = None
        self.usage = Usage()
        self.version = "v25.0"
        self.posts: list[list[str]] = []  # the paths of each batch
        self.meanwhile: Callable[[], None] = lambda: None

    async def ask(self, name: Literal["health"], ask: Ask, key: Key) -> Answer:
        raise AssertionError("every page here has an app that we know")

    async def ask_many(
        self, name: Literal["health"], asks: Sequence[tuple[Ask, Key]], *, opened_by: Key | None = None
    ) -> tuple[Answer | GraphError, ...]:
        self.posts.append([ask.path for ask, _ in asks])
        assert opened_by is not None
        assert opened_by.token.get_secret_value() == "7|app secret"
        if self.batch is not None:
            raise self.batch
        return tuple(self.refusals.get(ask.path) or self._answer(ask, key) for ask, key in asks)

    def key(self, page: PageAccess) -> Key:
        return Key(token=page.token, secret=SecretStr("app secret"))

    def key_of_app(self, app_id: str | None) -> Key | None:
        return None if app_id is None else app_key(app_id, SecretStr("app secret"))

    def _answer(self, ask: Ask, key: Key) -> Answer:
        self.meanwhile()
        page_id, _, edge = ask.path.partition("/")
        parsed: JsonObject
        if ask.path == "debug_token":
            of = dict(ask.params)["input_token"].removeprefix("token of ")
            usual: JsonObject = {"is_valid": True, "type": "PAGE", "app_id": "7", "profile_id": of, "expires_at": 0}
            parsed = {"data": {**usual, "scopes": [*SCOPES], **self.tokens.get(of, {})}}
        elif edge == "subscriptions":
            fields: list[JsonObject] = [{"name": "leadgen"}]
            hook: JsonObject = {"object": "page", "callback_url": self.callback, "active": True, "fields": [*fields]}
            parsed = {"data": [hook] if self.callback else []}
        elif edge == "subscribed_apps":
            parsed = {"data": [{"id": "7", "subscribed_fields": [*self.fields.get(page_id, ["leadgen"])]}]}
        else:
            parsed = {"id": page_id, "has_lead_access": {"can_access_lead": True}}
        return Answer(body="{}", parsed=parsed, version=self.version, usage=self.usage)


class NoLeads:
    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        raise AssertionError("a watch asks for no lead")

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        raise AssertionError("nor for a form")

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]:
        raise AssertionError("a watch asks for no lead")


class Tokens:
    def __init__(self, *pages: PageAccess) -> None:
        self.pages: Sequence[PageAccess] = pages

    def all(self) -> Sequence[PageAccess]:
        return self.pages


class Desk:
    """A watch whose clock the test moves; a pause lasts no time."""

    def __init__(self, *pages: PageAccess, held: Collection[int] = range(PARTITIONS), every: float = EVERY) -> None:
        self.now = NOW
        self.every = every
        self.held = held
        self.meta, self.broker = Meta(), Broker()
        self.tokens = Tokens(*(pages or [page()]))
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.watch = self.another()

    def another(self) -> AccessWatch:
        """One that has read what was told so far."""
        health = HealthStates()
        for offset, record in enumerate(self.broker.on(ACCESS)):
            health.follow(received(record, offset))
        governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        return AccessWatch(
            graph=self.meta,
            states=self.states,
            governor=governor,
            told=Asking(graph=NoLeads(), governor=governor, producer=self.broker, concurrency=1).tell,
            health=health,
            pages=self.tokens,
            holds=lambda: self.held,
            partitions=PARTITIONS,
            producer=self.broker,
            every=self.every,
            alarm_days=7,
            api_version="v25.0",
            graph_url="https://graph.facebook.com",
            clock=lambda: self.now,
            pause=self._pause,
        )

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def look(self, after: float = 0.0) -> list[list[str]]:
        """The batches of a look at what is due so many seconds later."""
        self.now += round(after * 1000)
        self.meta.posts = []
        asyncio.run(self.watch.look())
        return self.meta.posts

    def first_look(self) -> list[list[str]]:
        return self.look() + self.look(FIRST_SECONDS)

    def next_look(self) -> list[list[str]]:
        return self.look(2 * EVERY)

    def happen(self, scope: Literal["app", "token", "page"], state: State) -> None:
        until = self.now + 600_000 if state == "paused" else None
        key = self.states.key(page(), scope)
        record = access_record(Standing(state=state, key=key, reason="r", until=until, at=self.now, page_id="1"))
        self.states.take(key, record.value)

    @property
    def told(self) -> list[tuple[str, dict[str, str] | None]]:
        """Page and findings of each record on meta.access that is of a page's health."""
        records = [record for record in self.broker.on(ACCESS) if (record.key or b"").startswith(HEALTH.encode())]
        return [
            (
                (record.key or b"").decode().removeprefix(HEALTH),
                None if record.value is None else json.loads(record.value)["findings"],
            )
            for record in records
        ]


def received(record: Record, offset: int) -> Received:
    return Received(
        topic=ACCESS, partition=0, offset=offset, key=record.key, value=record.value, headers=(), timestamp=NOW
    )


def events(logs: Sequence[object]) -> list[tuple[object, ...]]:
    return [(log["event"], log["code"], log["page_id"], log["log_level"]) for log in logs if isinstance(log, dict)]


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_a_healthy_page_costs_four_calls_in_two_posts_and_is_told_once() -> None:
    desk = Desk()
    with capture_logs() as logs:
        assert desk.first_look() == [["7/subscriptions", "debug_token"], ["1", "1/subscribed_apps"]]
        assert desk.look(EVERY / 2) == []
        assert len(desk.next_look()) == 2
    assert desk.told == [("1", {})]
    assert logs == []


def test_a_token_that_is_about_to_end_is_an_alarm_until_it_is_replaced() -> None:
    desk = Desk()
    desk.first_look()
    desk.meta.tokens["1"] = {"expires_at": NOW // 1000 + 3 * DAY, "issued_at": NOW // 1000 - 57 * DAY}
    with capture_logs() as logs:
        desk.look(EVERY * 1.2)
        assert metric("leadstream_token_days", page_id="1") == pytest.approx(3, abs=0.1)
        assert metric("leadstream_health_pages", code="token-expires") == 1
        desk.look(EVERY * 1.2)
        desk.meta.tokens["1"] = {}
        desk.look(EVERY * 1.2)
    assert events(logs) == [
        ("health.wrong", "token-expires", "1", "error"),
        ("health.gone", "token-expires", "1", "info"),
    ]
    assert desk.told == [("1", {}), ("1", {"token-expires": "wrong"}), ("1", {})]
    assert metric("leadstream_health_pages", code="token-expires") == 0
    assert str(metric("leadstream_token_days", page_id="1")) == "nan"


def test_how_long_a_token_lives_is_told_though_nothing_is_wrong_with_it() -> None:
    desk = Desk()
    desk.meta.tokens["1"] = {"expires_at": NOW // 1000 + 50 * DAY, "issued_at": 1, "data_access_expires_at": 0}
    desk.first_look()
    [value] = [json.loads(record.value or b"") for record in desk.broker.on(ACCESS)]
    assert value["token_expires_at"] == NOW + 50 * DAY * 1000
    assert (value["data_access_expires_at"], value["findings"], value["app_id"]) == (0, {}, "7")


def test_a_permission_that_is_taken_back_is_named() -> None:
    desk = Desk()
    desk.meta.tokens["1"] = {"scopes": [*SCOPES[:-1]]}
    with capture_logs() as logs:
        desk.first_look()
    assert desk.told == [("1", {"scope-missing/ads_management": "warning"})]
    assert [(log["event"], log["code"], log["about"]) for log in logs] == [
        ("health.warning", "scope-missing", "ads_management")
    ]


def test_a_page_and_an_app_that_are_not_subscribed_are_alarms_and_the_apps_is_said_once() -> None:
    pages = [page(str(number)) for number in range(100, 110)]
    desk = Desk(*pages)
    desk.meta.callback = None
    desk.meta.fields["100"] = ["feed"]
    with capture_logs() as logs:
        desk.first_look()
        desk.meta.callback = "https://leads.example.com/webhook"
        desk.next_look()
    assert sorted(event[:2] for event in events(logs)) == [
        ("health.gone", "app-not-subscribed"),
        ("health.wrong", "app-not-subscribed"),
        ("health.wrong", "page-without-leadgen"),
    ]
    last = dict(desk.told)
    assert last.pop("100") == {"page-without-leadgen": "wrong"}
    assert set(map(str, last.values())) == {"{}"}


def test_another_version_that_serves_is_an_alarm() -> None:
    desk = Desk()
    desk.meta.version = "v21.0"
    with capture_logs() as logs:
        desk.first_look()
    assert events(logs) == [("health.wrong", "version-not-served", "1", "error")]


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    desk = Desk()
    desk.meta.fields["1"] = ["feed"]
    desk.first_look()
    desk.watch = desk.another()
    with capture_logs() as logs:
        assert desk.first_look() != []
        desk.meta.fields["1"] = ["leadgen"]
        desk.next_look()
    assert [found for _, found in desk.told] == [{"page-without-leadgen": "wrong"}, {}]
    assert [event[0] for event in events(logs)] == ["health.gone"]


@pytest.mark.parametrize("path", ["debug_token", "1", "1/subscribed_apps", "7/subscriptions"])
def test_what_is_not_answered_changes_nothing_and_is_asked_again_soon(path: str) -> None:
    desk = Desk()
    desk.meta.fields["1"] = ["feed"]
    desk.first_look()
    desk.meta.fields["1"] = ["leadgen"]
    desk.meta.refusals[path] = Unavailable("timeout")
    assert desk.next_look() != []
    assert len(desk.told) == 1
    desk.meta.refusals.clear()
    assert desk.look(2 * UNANSWERED_SECONDS) != []
    assert desk.told[1:] == [("1", {})]


def test_meta_that_is_away_changes_nothing() -> None:
    desk = Desk()
    desk.first_look()
    desk.meta.batch = Unavailable("no-connection")
    assert len(desk.next_look()) == 1
    assert desk.told == [("1", {})]


def test_a_dead_token_is_named_and_not_used() -> None:
    desk = Desk()
    desk.meta.tokens["1"] = {"is_valid": False, "error": {"code": 190, "subcode": 460}}
    assert desk.first_look() == [["7/subscriptions", "debug_token"]]
    assert desk.told == [("1", {"token-password-changed": "wrong"})]


def test_a_token_that_the_workers_call_broken_is_only_asked_about() -> None:
    desk = Desk()
    desk.first_look()
    desk.happen("token", "broken")
    assert desk.next_look() == [["7/subscriptions", "debug_token"]]
    assert desk.told == [("1", {})]  # it is valid, and what it sees is not known: so what was told stays


def test_what_is_wrong_with_everything_does_not_explain_a_page_that_was_not_asked() -> None:
    desk = Desk()
    desk.meta.fields["1"] = ["feed"]
    desk.first_look()
    desk.happen("token", "broken")
    desk.meta.version = "v21.0"
    desk.next_look()
    assert desk.told == [("1", {"page-without-leadgen": "wrong"})]


def test_a_page_that_is_broken_is_looked_at() -> None:
    """What is wrong with it is what is asked."""
    desk = Desk()
    desk.happen("page", "broken")
    assert len(desk.first_look()) == 2


@pytest.mark.parametrize(
    ("scope", "state"), [("app", "paused"), ("app", "broken"), ("token", "paused"), ("page", "paused")]
)
def test_what_is_paused_is_left_for_later(scope: Literal["app", "token", "page"], state: State) -> None:
    desk = Desk()
    desk.happen(scope, state)
    assert desk.first_look() == []
    desk.happen(scope, "open")
    assert desk.look() != []


def test_a_budget_that_is_nearly_used_up_is_left_to_live_leads() -> None:
    desk = Desk(every=600.0)
    desk.meta.usage = Usage(page=Load(calls=80, cpu_time=0, total_time=0))
    desk.first_look()
    assert desk.told == [("1", {})]  # it passes within the hour: that is the governor's affair
    assert desk.look(1200) == []
    desk.meta.usage = Usage()
    assert len(desk.look(2500)) == 2


def test_the_end_of_a_budget_is_told_to_everyone_and_waited_out() -> None:
    desk = Desk()
    desk.meta.refusals["1"] = OverBudget("business-limit", scope="page", regain_after=600.0, code=80001)
    desk.first_look()
    paused = [json.loads(record.value or b"")["state"] for record in desk.broker.on(ACCESS)]
    assert paused == ["paused"]
    desk.meta.refusals.clear()
    assert desk.look(300) == []
    assert desk.look(301) != []


def test_it_opens_and_breaks_nothing() -> None:
    desk = Desk()
    desk.meta.tokens["1"] = {"is_valid": False, "error": {"code": 190, "subcode": 460}}
    desk.meta.refusals["1"] = AccessLost("permission", scope="page", code=10)
    desk.first_look()
    keys = {(record.key or b"").decode() for record in desk.broker.on(ACCESS)}
    assert keys == {"health:1"}
    assert desk.states.standing(page()).state == "open"


def test_many_pages_are_asked_about_together_some_at_a_time() -> None:
    pages = [page(str(number)) for number in range(1000, 1000 + 2 * PAGES_AT_ONCE + 1)]
    desk = Desk(*pages)
    posts = desk.first_look()
    assert len(posts) == 6
    assert sum(map(len, posts)) == 3 * len(pages) + 3
    assert len(desk.told) == len(pages)


def test_what_is_learnt_while_pages_are_looked_at_holds_for_the_next_ones() -> None:
    desk = Desk(*[page(str(number)) for number in range(1000, 1000 + 2 * PAGES_AT_ONCE)])
    desk.meta.meanwhile = lambda: desk.happen("app", "paused")
    assert len(desk.first_look()) == 2


def test_of_several_workers_one_looks_at_each_page() -> None:
    pages = [page(str(number)) for number in range(100, 140)]
    workers = [Desk(*pages, held=range(first, PARTITIONS, 3)) for first in range(3)]
    for desk in workers:
        desk.first_look()
    told = [page_id for desk in workers for page_id, _ in desk.told]
    assert sorted(told) == sorted(each.page_id for each in pages)
    assert Desk(*pages, held=()).first_look() == []


def test_another_workers_pages_are_not_forgotten_by_this_one() -> None:
    desk = Desk(page("1"))
    desk.first_look()
    desk.held = ()
    desk.watch = desk.another()
    desk.tokens.pages = []
    desk.look(1)
    assert desk.told == [("1", {})]


def test_of_a_page_that_has_left_the_file_nothing_is_found_any_more() -> None:
    desk = Desk(page("1"), page("2"))
    desk.first_look()
    desk.tokens.pages = [page("2")]
    desk.look(1)
    assert desk.told[-1] == ("1", None)
    desk.look(1)
    assert len(desk.told) == 3


def test_the_pages_whose_tokens_end_first_have_a_metric_and_no_others() -> None:
    numbers = range(200, 200 + FIRST_TO_EXPIRE + 5)
    desk = Desk(*[page(str(number)) for number in numbers])
    for days, number in zip(count(10), numbers, strict=False):
        desk.meta.tokens[str(number)] = {"expires_at": NOW // 1000 + days * DAY, "issued_at": 1}
    desk.first_look()
    shown = [number for number in numbers if metric("leadstream_token_days", page_id=str(number)) is not None]
    assert shown == list(numbers)[:FIRST_TO_EXPIRE]
    desk.meta.tokens["200"] = {}  # it never ends now: the next one comes in
    desk.next_look()
    assert str(metric("leadstream_token_days", page_id="200")) == "nan"
    assert metric("leadstream_token_days", page_id=str(200 + FIRST_TO_EXPIRE)) is not None


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"findings":[],"at":1}', b"\xff"])
def test_a_record_that_cannot_be_read_says_nothing(value: bytes) -> None:
    health = HealthStates()
    health.follow(received(Record(topic=ACCESS, key=b"health:1", value=value), 0))
    health.follow(received(Record(topic=ACCESS, key=b"page:1", value=b"{}"), 1))
    assert health.of("1") is None


def test_whether_a_page_may_be_asked_does_not_depend_on_its_health() -> None:
    states = AccessStates(secret=SecretStr("app secret"), clock=lambda: NOW)
    broken = {"state": "broken", "until": None, "reason": "r", "at": 1, "page_id": "1"}
    states.take("health:1", json.dumps(broken).encode())
    assert list(states.unsettled()) == []
    assert states.of("health:1").state == "open"
