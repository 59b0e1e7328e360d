"""The client against the Graph double, a process of its own: every fault it can produce, and every refusal, by name."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, get_args

import aiohttp
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from deploy.sandbox.graph import settings as double_settings
from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.errors import known_refusals
from deploy.sandbox.graph.shapes import FaultKind, PageInfo, Refused
from ingest.meta.client import GraphClient
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget, Scope, Unavailable
from ingest.meta.graph import BATCH_SIZE, LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Snapshot, snapshot
from ingest.meta.pages import LOOK_EVERY, PageAccess, Pages
from ingest.settings import AppSecret, MetaSettings
from processors.access import AccessStates, Standing
from processors.monitor import Monitor
from tests.doubles import Broker

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A page with a lead on it, and what asks for them."""

    admin: GraphAdmin
    page: PageInfo
    lead_id: str
    secret: str
    version: str = "v25.0"

    def do(self, ask: Callable[[GraphClient], Awaitable[Outcome]]) -> Outcome:
        """What comes of `ask` with a client of its own."""
        settings = MetaSettings(
            meta_app_secrets=(AppSecret(app_id=self.page.app_id, secret=SecretStr(self.secret)),),
            meta_graph_url=self.admin.url,
            meta_api_version=self.version,
        )

        async def run() -> Outcome:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                return await ask(GraphClient(session, settings, timeout=aiohttp.ClientTimeout(total=2)))

        return asyncio.run(run())

    def lead(
        self, lead_id: str | None = None, *, page: PageAccess | None = None, fields: Sequence[str] = LEAD_FIELDS
    ) -> Answer:
        return self.do(
            lambda client: client.lead(lead_id or self.lead_id, page or access(self.page), fields=fields),
        )

    def refused(self, lead_id: str | None = None, *, page: PageAccess | None = None) -> GraphError:
        with pytest.raises(GraphError) as raised:
            self.lead(lead_id, page=page)
        return raised.value

    def batch(self, wanted: Sequence[tuple[str, PageInfo]]) -> tuple[Answer | GraphError, ...]:
        return self.do(lambda client: client.leads_batch([(lead_id, access(page)) for lead_id, page in wanted]))


def access(page: PageInfo) -> PageAccess:
    return PageAccess(page_id=page.page_id, token=SecretStr(page.token), app_id=page.app_id)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a double that ends with this module."""
    state = tmp_path_factory.mktemp("double")
    command = [sys.executable, "-m", "deploy.sandbox.graph", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        os.kill(process.pid, signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def scene(double: str) -> Scene:
    admin = GraphAdmin(double)
    admin.reset()
    page = admin.pages()[0]
    [lead_id] = admin.make_leads(page.form_ids[0], 1)
    return Scene(admin=admin, page=page, lead_id=lead_id, secret=admin.app().secret)


# Answers


def test_a_lead_is_read_whole_and_kept_as_the_bytes_that_came(scene: Scene) -> None:
    async def as_it_came() -> bytes:
        url = f"{scene.admin.url}/v25.0/{scene.lead_id}"
        opened = {"fields": ",".join(LEAD_FIELDS), "access_token": scene.page.token}
        async with aiohttp.ClientSession() as session, session.get(url, params=opened) as response:
            return await response.read()

    found = scene.lead()

    assert found.body.encode() == asyncio.run(as_it_came())
    assert found.parsed == {
        name: value for name, value in scene.admin.lead(scene.lead_id).items() if name in LEAD_FIELDS
    }
    assert found.version == "v25.0"
    assert [use.kind for use in found.usage.business] == ["leadgen"]
    assert found.usage.app is not None


def test_every_form_has_a_snapshot_of_its_own_with_questions_and_legal_text(scene: Scene) -> None:
    async def read_all(client: GraphClient) -> list[Answer]:
        return [await client.form(form_id, access(page)) for page in scene.admin.pages() for form_id in page.form_ids]

    found = [snapshot(answer.parsed) for answer in scene.do(read_all)]
    forms = [json.loads(each.text) for each in found]

    assert all(form["questions"] and form["legal_content"]["privacy_policy"] for form in forms)
    assert any("checkboxes" in form["legal_content"].get("custom_disclaimer", ()) for form in forms)
    assert len({each.version for each in found}) == len(found)


def test_a_forms_version_survives_new_leads_and_not_a_new_question(scene: Scene) -> None:
    form_id = scene.page.form_ids[0]
    counted = ("id", "name", "locale", "questions", "legal_content", "privacy_policy_url", "leads_count")

    def version() -> str:
        answer = scene.do(lambda client: client.form(form_id, access(scene.page), fields=counted))
        return snapshot(answer.parsed).version

    before = version()
    scene.admin.make_leads(form_id, 3)
    assert version() == before
    first, *rest = scene.admin.questions(form_id)
    scene.admin.edit_form(form_id, questions=[first | {"label": "Another question"}, *rest])
    assert version() != before


def test_a_page_lists_its_forms_as_each_is_read_alone(scene: Scene) -> None:
    """A few at a time, to the end; in the list too a form has the version by which its leads know it."""
    page = access(scene.page)
    for _ in range(5):
        scene.admin.add_form(scene.page.page_id, "newsletter")
    archived = scene.admin.edit_form(scene.page.form_ids[0], status="ARCHIVED").form_id

    async def read_all(client: GraphClient) -> tuple[list[Snapshot], list[Snapshot], int]:
        listed, alone, after, calls = [], [], None, 0
        while after is not None or not calls:
            found = await client.forms(page, after, limit=2)
            assert len(found.items) <= 2
            assert found.usage.app is not None
            listed += [snapshot(form) for form in found.items]
            alone += [snapshot((await client.form(str(form["id"]), page)).parsed) for form in found.items]
            after, calls = found.after, calls + 1
        return listed, alone, calls

    listed, alone, calls = scene.do(read_all)
    assert listed == alone
    ids = [str(json.loads(each.text)["id"]) for each in listed]
    assert sorted(ids) == sorted(form.form_id for form in scene.admin.forms(scene.page.page_id))
    assert json.loads(listed[ids.index(archived)].text)["status"] == "ARCHIVED"
    assert calls == -(-len(ids) // 2)


def test_forms_that_may_not_be_listed_are_refused_by_name(scene: Scene) -> None:
    scene.admin.fault("error", endpoint="leadgen_forms", code=200)
    with pytest.raises(AccessLost):
        scene.do(lambda client: client.forms(access(scene.page)))


def test_a_token_is_asked_about_without_being_used(scene: Scene) -> None:
    page = access(scene.page)
    assert scene.do(lambda client: client.token_is_valid(page)) is True
    scene.admin.kill_token(scene.page.page_id)
    scene.admin.forget_calls()
    assert scene.do(lambda client: client.token_is_valid(page)) is False
    assert scene.admin.calls().by_code.keys() == {"0"}
    assert set(scene.admin.calls().by_endpoint) == {"batch", "debug_token"}
    scene.admin.repair_token(scene.page.page_id)
    assert scene.do(lambda client: client.token_is_valid(page)) is True


def test_a_token_of_an_app_that_is_not_known_is_not_asked_about(scene: Scene) -> None:
    page = replace(access(scene.page), app_id=None)
    assert scene.do(lambda client: client.token_is_valid(page)) is None


@pytest.mark.parametrize("how", get_args(Refused))
def test_whether_a_pages_leads_may_be_read_is_asked_of_the_page(scene: Scene, how: Refused) -> None:
    page = access(scene.page)
    assert scene.do(lambda client: client.leads_are_readable(page)) is True
    scene.admin.revoke_access(scene.page.page_id, how=how)
    assert scene.do(lambda client: client.leads_are_readable(page)) is False


def test_another_version_that_serves_is_told(scene: Scene) -> None:
    with capture_logs() as told:
        served = replace(scene, version="v19.0").lead().version

    assert served not in (None, "v19.0")
    assert [(line["event"], line["asked"], line["served"]) for line in told] == [("graph.version", "v19.0", served)]


# Faults

FAULTS: dict[FaultKind, str | None] = {
    "error": "service-down",
    "status": "server-error",
    "html": "server-error",
    "empty": "empty",
    "unavailable": "not-json",
    "truncated": "not-json",
    "short": "truncated",
    "hang": "timeout",
    "reset": "no-connection",
    "null": None,  # meets the items of a batch only
    "headers": None,
}


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_every_fault_of_the_double_is_unavailable_or_harmless(scene: Scene, kind: FaultKind) -> None:
    broken = {"x-business-use-case-usage": "none", "x-app-usage": None, "facebook-api-version": "?"}
    scene.admin.fault(kind, lead=scene.lead_id, headers=broken)
    if FAULTS[kind] is None:
        assert scene.lead().parsed["id"] == scene.lead_id
    else:
        error = scene.refused()
        assert (type(error), error.reason) == (Unavailable, FAULTS[kind])

    scene.admin.lift()
    assert scene.lead().parsed["id"] == scene.lead_id


CLASSES: dict[type[GraphError], set[int]] = {
    Unavailable: {1, 2, 104, 192},  # the last two are in no table of ours
    OverBudget: {4, 17, 32, 341, 613, 80000, 80001, 80002, 80003, 80004, 80005, 80006, 80008, 80009, 80014},
    AccessLost: {3, 10, 102, 190, 200, 294},
    Blocked: {368},
    BadAsk: {100, 105, 506, 803, 2200, 2500, 2635},
}


@pytest.mark.parametrize(("code", "subcode"), list(known_refusals()))
def test_every_refusal_of_the_double_has_its_class(scene: Scene, code: int, subcode: int | None) -> None:
    scene.admin.fault("error", lead=scene.lead_id, code=code, subcode=subcode)
    error = scene.refused()
    [expected] = [kind for kind, codes in CLASSES.items() if code in codes]

    assert type(error) is (Missing if (code, subcode) == (100, 33) else expected)
    assert (error.code, error.subcode) == (code, subcode)
    assert error.trace
    assert scene.page.token not in f"{error!r}{error}{vars(error)}"


def test_a_throttled_page_says_when_it_may_be_asked_again(scene: Scene) -> None:
    scene.admin.throttle(scene.page.page_id, seconds=600)
    error = scene.refused()

    assert isinstance(error, OverBudget)
    assert (error.scope, error.regain_after) == ("page", 600.0)


def test_an_app_over_its_limit_gets_no_estimate(scene: Scene) -> None:
    scene.admin.set_app_budget(0)
    error = scene.refused()

    assert isinstance(error, OverBudget)
    assert (error.scope, error.regain_after) == ("app", None)


# Access


@pytest.mark.parametrize(
    ("subcode", "reason"), [(458, "app-not-installed"), (460, "password-changed"), (463, "token-expired")]
)
def test_a_dead_token_is_lost_access_until_it_lives_again(scene: Scene, subcode: int, reason: str) -> None:
    scene.admin.kill_token(scene.page.page_id, subcode=subcode)
    error = scene.refused()
    assert isinstance(error, AccessLost)
    assert (error.scope, error.reason) == ("token", reason)

    scene.admin.repair_token(scene.page.page_id)
    assert scene.lead().parsed["id"] == scene.lead_id


def test_a_token_that_was_replaced_in_the_file_is_used_by_the_next_call(scene: Scene, tmp_path: Path) -> None:
    now = 0.0
    file = Path(double_settings(scene.admin.url, tmp_path)["META_PAGES_FILE"])
    pages = Pages(file, clock=lambda: now)

    renewed = scene.admin.replace_token(scene.page.page_id)
    assert isinstance(scene.refused(page=pages.get(scene.page.page_id)), AccessLost)
    file.write_text(file.read_text().replace(scene.page.token, renewed))
    for _ in range(2):
        now += LOOK_EVERY
        pages.get(scene.page.page_id)

    assert scene.lead(page=pages.get(scene.page.page_id)).parsed["id"] == scene.lead_id


@pytest.mark.parametrize(("how", "kind"), [("10", AccessLost), ("200", AccessLost), ("100/33", Missing)])
def test_leads_that_may_not_be_read_any_more(scene: Scene, how: Refused, kind: type[GraphError]) -> None:
    scene.admin.revoke_access(scene.page.page_id, how=how)
    assert type(scene.refused()) is kind

    scene.admin.restore_access(scene.page.page_id)
    assert scene.lead().parsed["id"] == scene.lead_id


def test_a_deleted_lead_and_the_dashboards_sample_are_missing(scene: Scene) -> None:
    scene.admin.delete_lead(scene.lead_id)

    assert type(scene.refused()) is type(scene.refused("444444444444")) is Missing


def test_a_field_the_token_may_not_read_costs_only_the_fields_that_are_like_it(scene: Scene) -> None:
    scene.admin.hide_fields(scene.page.page_id, ["ad_name", "campaign_name"])
    error = scene.refused()

    assert (type(error), error.reason) == (BadAsk, "bad-field")
    reduced = scene.lead(fields=REDUCED_LEAD_FIELDS)
    assert reduced.parsed["field_data"] == scene.admin.lead(scene.lead_id)["field_data"]


def test_a_wrong_app_secret_is_not_taken_for_a_bad_field(scene: Scene) -> None:
    error = replace(scene, secret="another app's").refused()

    assert isinstance(error, AccessLost)
    assert (error.scope, error.reason) == ("token", "app-secret")


def test_a_page_of_a_foreign_app_works_without_a_proof_until_meta_requires_one(scene: Scene) -> None:
    stranger = replace(access(scene.page), app_id="1")
    assert scene.lead(page=stranger).parsed["id"] == scene.lead_id

    scene.admin.require_proof()
    error = scene.refused(page=stranger)
    assert isinstance(error, AccessLost)
    assert error.reason == "app-secret"
    assert scene.lead().parsed["id"] == scene.lead_id


def dead_token_calls(scene: Scene) -> int:
    return scene.admin.calls(token=f"page:{scene.page.page_id}#0").total


def test_a_token_that_has_expired_or_was_replaced_is_not_valid_and_its_successor_is(scene: Scene) -> None:
    def is_valid(page: PageAccess) -> bool | None:
        return scene.do(lambda client: client.token_is_valid(page))

    first = access(scene.page)
    scene.admin.describe_token(scene.page.page_id, expires_at=1)
    assert is_valid(first) is False
    scene.admin.describe_token(scene.page.page_id)
    assert is_valid(first) is True

    renewed = scene.admin.replace_token(scene.page.page_id)
    assert is_valid(first) is False
    assert is_valid(replace(first, token=SecretStr(renewed))) is True


def test_a_wrong_app_secret_cannot_ask_about_a_token(scene: Scene) -> None:
    with pytest.raises(AccessLost):
        replace(scene, secret="another app's").do(lambda client: client.token_is_valid(access(scene.page)))


def test_the_inspected_token_and_the_apps_own_stand_in_no_url(scene: Scene) -> None:
    asked: list[str] = []

    async def note(_: object, __: object, started: aiohttp.TraceRequestStartParams) -> None:
        asked.append(f"{started.url} {started.headers}")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(note)
    settings = MetaSettings(
        meta_app_secrets=(AppSecret(app_id=scene.page.app_id, secret=SecretStr(scene.secret)),),
        meta_graph_url=scene.admin.url,
    )

    async def run() -> bool | None:
        async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
            return await GraphClient(session, settings).token_is_valid(access(scene.page))

    assert asyncio.run(run()) is True
    [line] = asked
    assert scene.page.token not in line
    assert scene.secret not in line


@dataclass(frozen=True)
class Watch:
    """A monitor that asks the double, and what it told; its clock is the test's."""

    scene: Scene
    clock: list[int]
    states: AccessStates
    broker: Broker

    def breaks(self, scope: Scope) -> None:
        key = self.states.key(access(self.scene.page), scope)
        self.states.put(
            Standing(state="broken", key=key, reason="r", at=self.clock[0], page_id=self.scene.page.page_id)
        )

    def look(self, times: int) -> bool:
        """Whether anything was opened."""

        async def looks(client: GraphClient) -> None:
            monitor = Monitor(
                states=self.states,
                pages=self,
                graph=client,
                producer=self.broker,
                every=60.0,
                clock=lambda: self.clock[0],
            )
            for _ in range(times):
                self.clock[0] += 60_000
                await monitor.look()

        before = len(self.broker.records)
        self.scene.do(looks)
        return len(self.broker.records) > before

    def all(self) -> list[PageAccess]:
        return [access(self.scene.page)]


@pytest.fixture
def watch(scene: Scene) -> Watch:
    clock = [0]
    states = AccessStates(secret=SecretStr("hash-key"), clock=lambda: clock[0])
    return Watch(scene, clock, states, Broker())


def test_a_dead_token_is_watched_for_hours_without_one_call_with_it(watch: Watch) -> None:
    """Neither about itself nor about its page, which is broken too."""
    watch.scene.admin.kill_token(watch.scene.page.page_id)
    watch.breaks("token")
    watch.breaks("page")
    watch.scene.admin.forget_calls()

    assert not watch.look(120)
    assert dead_token_calls(watch.scene) == 0
    assert watch.scene.admin.calls(endpoint="debug_token").total == 120

    watch.scene.admin.repair_token(watch.scene.page.page_id)
    assert watch.look(1)


def test_a_revoked_page_is_opened_when_it_is_restored(watch: Watch) -> None:
    watch.scene.admin.revoke_access(watch.scene.page.page_id)
    watch.breaks("page")
    assert not watch.look(3)
    watch.scene.admin.restore_access(watch.scene.page.page_id)
    assert watch.look(1)


# Batches


def test_a_batch_reads_fifty_leads_of_several_pages_in_their_order(scene: Scene) -> None:
    owners = scene.admin.pages()[:2]
    made = [(lead, page) for page in owners for lead in scene.admin.make_leads(page.form_ids[0], BATCH_SIZE // 2)]
    mixed = made[::2] + made[1::2]
    scene.admin.forget_calls()
    answers = [item for item in scene.batch(mixed) if isinstance(item, Answer)]

    assert [answer.parsed["id"] for answer in answers] == [lead_id for lead_id, _ in mixed]
    assert all(answer.usage.business for answer in answers)
    assert scene.admin.calls().in_batches == BATCH_SIZE


def test_items_of_a_batch_fail_each_for_itself(scene: Scene) -> None:
    other = scene.admin.pages()[1]
    left_out, gone, cut = scene.admin.make_leads(scene.page.form_ids[0], 3)
    [limited] = scene.admin.make_leads(other.form_ids[0], 1)
    scene.admin.fault("null", lead=left_out)
    scene.admin.delete_lead(gone)
    scene.admin.fault("truncated", lead=cut)
    scene.admin.throttle(other.page_id, seconds=120)
    found, *failed = scene.batch(
        [*((each, scene.page) for each in (scene.lead_id, left_out, gone, cut)), (limited, other)]
    )

    assert isinstance(found, Answer)
    assert [(type(error), error.reason) for error in failed if isinstance(error, GraphError)] == [
        (Unavailable, "not-answered"),
        (Missing, "not-found"),
        (Unavailable, "not-json"),
        (OverBudget, "business-limit"),
    ]
    assert isinstance(failed[-1], OverBudget)
    assert failed[-1].regain_after == 120.0


def test_a_batch_fails_as_a_whole_where_its_own_token_is_dead(scene: Scene) -> None:
    scene.admin.kill_token(scene.page.page_id)
    with pytest.raises(AccessLost):
        scene.batch([(scene.lead_id, scene.page)])
