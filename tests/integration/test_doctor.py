"""Doctor names the cause of whatever can be wrong with tokens, permissions, subscriptions and versions, and only that.

Each trouble is one that the double makes, in a world of three pages; doctor's own output is held against every token
and secret of that world each time.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
import yaml

from deploy.doctor.cli import examine
from deploy.doctor.report import Report, in_json, show
from deploy.sandbox.graph import settings
from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.shapes import PageInfo
from deploy.sandbox.graph.thread import running_in_thread
from deploy.sandbox.graph.world import World
from ingest.health import Finding
from ingest.records import ACCESS
from tests.programs import LEADSTREAM, System, eventually

DAY = 86_400
CALLBACK = "http://127.0.0.1:1/webhook"


class Scene:
    """A double with three healthy pages, and doctor beside it; `env` may be changed before it is asked."""

    def __init__(self, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.admin = GraphAdmin(url)
        self.admin.reset()
        self.admin.subscribe_app(CALLBACK)
        self.pages = self.admin.pages()
        self.page = self.pages[0]
        self.app = self.admin.app()
        self.folder = folder
        self.env = settings(url, folder)
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PREFIX", "TOKEN_ALARM_DAYS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(folder)  # where no .env of the checkout is read

    def write_pages(self, **changed: dict[str, str]) -> None:
        """META_PAGES_FILE, with other entries for some pages (`p0`, `p1`, `p2`)."""
        entries = {page.page_id: {"token": page.token, "app_id": page.app_id} for page in self.pages}
        for name, entry in changed.items():
            entries[self.pages[int(name[1:])].page_id] = entry
        Path(self.env["META_PAGES_FILE"]).write_text(yaml.safe_dump({"pages": entries}))

    def ask(self, page_id: str | None = None) -> Report:
        """What doctor finds, having said it both ways without a secret in it."""
        for name, value in self.env.items():
            self._monkeypatch.setenv(name, value)
        report = examine(page_id)
        show(report)
        said = self._capsys.readouterr().out + in_json(report)
        assert [secret for secret in secrets() if secret in said] == []
        assert all(finding.what in said for finding in report.findings if finding.severity != "fine")
        return report


def secrets() -> list[str]:
    """Every token and secret of the double's world."""
    world = World(1)
    tokens = [world.page_token(page, generation) for page in range(3) for generation in range(2)]
    of_apps = [secret for app in (world.app, world.foreign_app) for secret in (app.secret, app.token, app.verify_token)]
    return [*tokens, world.user_token(), world.user_token(1), *of_apps]


@pytest.fixture(scope="module")
def graph_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_in_thread(tmp_path_factory.mktemp("graph")) as url:
        yield url


@pytest.fixture
def scene(
    graph_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Scene]:
    scene = Scene(graph_url, tmp_path, monkeypatch, capsys)
    yield scene
    scene.admin.set_clock(0)


def wrong(report: Report) -> list[tuple[str, str | None]]:
    """Code and page of all that is not fine, and is known."""
    bad = [each for each in report.findings if each.severity in ("wrong", "warning")]
    return [(each.code, each.page_id) for each in bad]


def the(report: Report, code: str) -> Finding:
    [finding] = [each for each in report.findings if each.code == code]
    return finding


@dataclass(frozen=True, slots=True)
class Trouble:
    """`make` makes it of page 0 or of its app; `code` is what doctor calls it, and `says` some of its words."""

    code: str
    make: Callable[[Scene], object]
    says: str
    of_page: bool = True
    severity: str = "wrong"


def dead(subcode: int) -> Callable[[Scene], None]:
    return lambda scene: scene.admin.kill_token(scene.page.page_id, subcode=subcode)


def described(**told: object) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.admin.describe_token(scene.page.page_id, **told)  # type: ignore[arg-type]  # each case names its own

    return make


def asking(**env: str) -> Callable[[Scene], None]:
    return lambda scene: scene.env.update(env)


def hidden(*fields: str, code: int = 100, omit: bool = False) -> Callable[[Scene], None]:
    return lambda scene: scene.admin.hide_fields(scene.page.page_id, fields, code=code, omit=omit)


def with_a_proof_required_and_no_secret(scene: Scene) -> None:
    scene.admin.require_proof()
    scene.env["META_APP_SECRETS"] = f"999:{scene.app.secret}"


def in_days(days: float) -> int:
    return int(time.time() + days * DAY)


TROUBLES = [
    Trouble("token-app-removed", dead(458), "removed the app (190/458)"),
    Trouble("token-checkpointed", dead(459), "log in and pass a check (190/459)"),
    Trouble("token-password-changed", dead(460), "changed the password"),
    Trouble("token-expired", dead(463), "it has expired (190/463)"),
    Trouble("token-unconfirmed", dead(464), "not confirmed (190/464)"),
    Trouble("token-logged-out", dead(467), "logged out"),
    Trouble("token-role-lost", dead(492), "no role on the page"),
    Trouble("token-invalid", dead(1), "the token is dead"),
    Trouble("token-password-changed", lambda scene: scene.admin.replace_token(scene.page.page_id), "is dead"),
    Trouble("token-expired", described(expires_at=1), "it has expired"),
    Trouble("token-expires", described(expires_at=in_days(6.5)), "(in 6 days)"),
    Trouble(
        "token-short-lived", described(expires_at=in_days(0.05), issued_at=in_days(-0.04)), "short-lived user token"
    ),
    Trouble("data-access-expires", described(data_access_expires_at=in_days(3.2)), "(in 3 days)"),
    Trouble("data-access-expired", described(data_access_expires_at=in_days(-3.2)), "(3 days ago)"),
    Trouble("scope-missing", described(missing_scopes=["leads_retrieval"]), "lacks leads_retrieval"),
    Trouble("scope-missing", described(missing_scopes=["pages_manage_metadata"]), "no webhook is sent"),
    Trouble("scope-missing", described(missing_scopes=["pages_read_engagement"]), "Grant pages_read_engagement"),
    Trouble("scope-missing", described(missing_scopes=["pages_show_list"]), "pages add", severity="warning"),
    Trouble("scope-missing", described(missing_scopes=["ads_management"]), "names of their ad", severity="warning"),
    Trouble("scope-not-for-page", described(elsewhere=["leads_retrieval"]), "granted for other pages"),
    Trouble("scope-not-for-page", described(elsewhere=["pages_manage_metadata"]), "granted for other pages"),
    Trouble("lead-access-denied", lambda scene: scene.admin.revoke_access(scene.page.page_id), "the token's person"),
    Trouble(
        "lead-access-denied",
        lambda scene: scene.admin.revoke_access(scene.page.page_id, how="10"),
        'lets the app read no lead of this page. It says: "The app or the user is not assigned',
    ),
    Trouble(
        "lead-access-denied",
        lambda scene: scene.admin.revoke_access(scene.page.page_id, how="200"),
        '"Assign the app and the user in Leads Access Manager, in Business settings."',
    ),
    Trouble("lead-fields-refused", hidden("ad_name"), "may not be read", severity="warning"),
    Trouble("lead-fields-refused", hidden("post_submission_check_result", code=3), "code 3", severity="warning"),
    Trouble("lead-fields-left-out", hidden("ad_name", omit=True), "come without ad_name", severity="warning"),
    Trouble("page-not-subscribed", lambda scene: scene.admin.subscribe_page(scene.page.page_id, []), "not installed"),
    Trouble(
        "page-without-leadgen",
        lambda scene: scene.admin.subscribe_page(scene.page.page_id, ["feed", "messages"]),
        "for feed, messages, and not for leadgen",
    ),
    Trouble("over-budget", lambda scene: scene.admin.throttle(scene.page.page_id, seconds=600), "another 10 minutes"),
    Trouble(
        "budget-near", lambda scene: scene.admin.set_budget(scene.page.page_id, calls=5), "80 %", severity="warning"
    ),
    Trouble(
        "token-of-another-page",
        lambda scene: scene.write_pages(p0={"token": scene.pages[1].token, "app_id": scene.app.app_id}),
        "that of page",
    ),
    Trouble(
        "token-not-a-pages",
        lambda scene: scene.write_pages(p0={"token": World(1).user_token(1), "app_id": scene.app.app_id}),
        "a system user's token",
        severity="warning",
    ),
    Trouble(
        "token-invalid",
        lambda scene: scene.write_pages(p0={"token": "EAAmistyped", "app_id": scene.app.app_id}),
        "does not know it",
    ),
    Trouble("app-not-subscribed", lambda scene: scene.admin.subscribe_app(None), "no webhook for pages", of_page=False),
    Trouble(
        "app-without-leadgen",
        lambda scene: scene.admin.subscribe_app(CALLBACK, fields=["feed"]),
        "is for feed and not for leadgen",
        of_page=False,
    ),
    Trouble("app-secret-wrong", asking(META_APP_SECRETS="another"), "refuses the proof", of_page=False),
    Trouble("app-secret-missing", with_a_proof_required_and_no_secret, "has no secret of app", of_page=False),
    Trouble("app-over-budget", lambda scene: scene.admin.set_app_budget(0), "code 4", of_page=False),
    Trouble("version-not-served", asking(META_API_VERSION="v20.0"), "serves v21.0 in place of v20.0", of_page=False),
    Trouble("version-not-served", asking(META_API_VERSION="v99.0"), "over or not there yet", of_page=False),
    Trouble("version-ends", asking(META_API_VERSION="v21.0"), "ends on 2027-01-21", of_page=False, severity="warning"),
    Trouble("clock-skewed", lambda scene: scene.admin.set_clock(300), "s behind Meta's", of_page=False),
    Trouble("clock-skewed", lambda scene: scene.admin.set_clock(-300), "s ahead of Meta's", of_page=False),
    Trouble("meta-unanswered", asking(META_GRAPH_URL="http://127.0.0.1:9"), "no-connection", of_page=False),
]


def test_of_a_healthy_world_everything_is_fine(scene: Scene) -> None:
    report = scene.ask()
    assert (wrong(report), report.is_wrong) == ([], False)
    fine = {each.code for each in report.findings if each.page_id == scene.page.page_id}
    assert fine == {"token-lives", "scopes-granted", "lead-access-granted", "leads-read", "page-subscribed"}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: f"{trouble.code}: {trouble.says}")
def test_doctor_names_the_cause_and_nothing_else(scene: Scene, trouble: Trouble) -> None:
    trouble.make(scene)
    report = scene.ask()

    assert wrong(report) == [(trouble.code, scene.page.page_id if trouble.of_page else None)]
    finding = the(report, trouble.code)
    assert finding.severity == trouble.severity
    assert trouble.says.lower() in f"{finding.what} {finding.causes} {finding.do}".lower()
    assert finding.causes
    assert finding.do
    assert report.is_wrong == (trouble.severity == "wrong")


def test_what_is_wrong_with_one_page_keeps_no_other_from_being_looked_at(scene: Scene) -> None:
    scene.admin.kill_token(scene.page.page_id)
    scene.admin.revoke_access(scene.pages[1].page_id)
    report = scene.ask()
    assert sorted(wrong(report)) == sorted(
        [("token-password-changed", scene.page.page_id), ("lead-access-denied", scene.pages[1].page_id)]
    )
    last = {each.code for each in report.findings if each.page_id == scene.pages[2].page_id}
    assert {"token-lives", "leads-read", "page-subscribed"} <= last


def test_a_dead_token_is_never_used(scene: Scene) -> None:
    scene.admin.kill_token(scene.page.page_id)
    scene.admin.forget_calls()
    scene.ask()
    assert scene.admin.calls(token=f"page:{scene.page.page_id}#0").total == 0


def test_a_look_at_three_pages_is_three_posts_and_five_calls_for_each(scene: Scene) -> None:
    scene.admin.forget_calls()
    scene.ask()
    calls = scene.admin.calls().by_endpoint
    assert calls == {
        "batch": 3,
        "subscriptions": 1,
        **dict.fromkeys(("debug_token", "page", "subscribed_apps", "leadgen_forms", "leads"), 3),
    }


def test_where_the_permission_is_missing_leads_are_not_even_tried(scene: Scene) -> None:
    scene.admin.describe_token(scene.page.page_id, missing_scopes=["leads_retrieval"])
    scene.admin.forget_calls()
    scene.ask(scene.page.page_id)
    assert scene.admin.calls(page=scene.page.page_id).by_endpoint == {"page": 1, "subscribed_apps": 1}


def test_one_page_is_looked_at_alone(scene: Scene) -> None:
    scene.admin.forget_calls()
    report = scene.ask(scene.page.page_id)
    assert {each.page_id for each in report.findings} == {None, scene.page.page_id}
    assert scene.admin.calls().by_page.keys() == {"", scene.page.page_id}


def test_a_page_that_is_not_in_the_file_is_used_wrongly(scene: Scene) -> None:
    with pytest.raises(typer.BadParameter, match="META_PAGES_FILE has no page 1"):
        scene.ask("1")


def test_no_answer_of_a_person_is_asked_for(scene: Scene) -> None:
    lead = scene.admin.make_lead(scene.page.form_ids[0], {"field_data": [{"name": "x", "values": ["planted"]}]})
    report = scene.ask()
    assert the_codes(report, scene.page) >= {"leads-read"}
    assert lead not in in_json(report)


def test_without_an_app_id_each_page_is_asked_alone_and_a_dead_token_is_named_all_the_same(scene: Scene) -> None:
    scene.write_pages(**{f"p{number}": {"token": page.token} for number, page in enumerate(scene.pages)})
    scene.admin.kill_token(scene.page.page_id, subcode=463)
    scene.admin.forget_calls()
    report = scene.ask()
    assert wrong(report) == [("token-expired", scene.page.page_id)]
    assert the(report, "app-id-unknown").severity == "not-known"
    assert the_codes(report, scene.pages[1]) == {"lead-access-granted", "leads-read", "page-subscribed"}
    assert scene.admin.calls(page=scene.page.page_id).total == 1


def test_a_token_of_another_app_is_told_from_a_wrong_secret(scene: Scene) -> None:
    foreign = {"token": scene.page.token, "app_id": scene.app.foreign_app_id}
    scene.write_pages(p0=foreign)
    scene.env["META_APP_SECRETS"] = f"{scene.app.app_id}:{scene.app.secret},{scene.app.foreign_app_id}:" + (
        scene.app.foreign_secret
    )
    report = scene.ask()
    [told] = [each for each in report.findings if each.page_id == scene.page.page_id]
    assert (told.code, told.severity) == ("token-of-another-app", "wrong")


def test_tokens_that_an_app_may_not_look_at_are_told_from_an_app_that_is_refused(scene: Scene) -> None:
    scene.admin.fault("error", endpoint="debug_token", code=100)
    scene.admin.fault("error", endpoint="subscriptions", code=200)
    report = scene.ask()
    assert wrong(report) == [("token-of-another-app", page.page_id) for page in scene.pages]
    assert the(report, "app-subscription-unread").severity == "not-known"


def test_a_wrong_secret_costs_one_call_for_all_pages_of_the_app(scene: Scene) -> None:
    scene.env["META_APP_SECRETS"] = "another"
    scene.admin.forget_calls()
    scene.ask()
    assert scene.admin.calls().by_endpoint == {"batch": 1, "page": 1}


def test_with_the_proof_required_and_the_right_secret_all_is_fine(scene: Scene) -> None:
    scene.admin.require_proof()
    assert wrong(scene.ask()) == []


def test_items_that_a_batch_left_out_are_asked_for_once_more(scene: Scene) -> None:
    scene.admin.fault("null", page=scene.page.page_id, calls=1)
    report = scene.ask()
    assert wrong(report) == []
    assert "page-subscribed" in the_codes(report, scene.page)


def test_without_kafka_it_is_said_what_was_not_looked_at(scene: Scene) -> None:
    scene.env["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:9"
    report = scene.ask()
    assert report.not_looked_at == ["Kafka was not asked: nobody answers at 127.0.0.1:9."]
    assert the(report, "values-unknown").severity == "not-known"


def test_a_pages_file_that_cannot_be_used_is_a_finding(scene: Scene) -> None:
    Path(scene.env["META_PAGES_FILE"]).write_text(f"pages: {{'x': {{token: {scene.page.token}}}}}")
    report = scene.ask()
    assert report.is_wrong
    assert "META_PAGES_FILE" in str(the(report, "settings-unusable").what) or "pages.yaml" in str(
        the(report, "settings-unusable").what
    )


def the_codes(report: Report, page: PageInfo) -> set[str]:
    return {each.code for each in report.findings if each.page_id == page.page_id}


def test_the_command_exits_with_1_when_something_is_wrong_and_shows_no_secret(scene: Scene) -> None:
    def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(LEADSTREAM), "doctor", *arguments],
            env=os.environ | scene.env,
            cwd=scene.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    healthy = doctor()
    assert (healthy.returncode, "0 wrong, 0 warning" in healthy.stdout) == (0, True)
    scene.admin.kill_token(scene.page.page_id)
    ill, told = doctor(), doctor("--json", "--page", scene.page.page_id)
    assert (ill.returncode, told.returncode) == (1, 1)
    assert f"page {scene.page.page_id}  wrong  token-password-changed" in ill.stdout
    found = json.loads(told.stdout)
    assert [each["code"] for each in found["findings"] if each["severity"] == "wrong"] == ["token-password-changed"]
    said = "".join(each.stdout + each.stderr for each in (healthy, ill, told))
    assert [secret for secret in secrets() if secret in said] == []


@pytest.fixture
def asked(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Doctor on the system's settings."""
    monkeypatch.chdir(tmp_path)
    for name, value in system.env.items():
        monkeypatch.setenv(name, value)
    return examine


def test_notifications_without_values_are_seen_at_the_door(system: System, asked: Callable[[], Report]) -> None:
    """Whether `Include Values` is on is in no answer of Meta's."""
    system.start("serve").wait_ready()
    system.graph.subscribe_app(system.webhook)

    def codes() -> set[str]:
        report = asked()
        assert report.not_looked_at == []
        return {each.code for each in report.findings}

    assert {"values-unknown", "callback-unproven"} <= codes()
    assert system.graph.send(system.webhook, "leadgen").status == "200"
    assert {"values-arrive", "callback-reached"} <= codes()
    assert system.graph.send(system.webhook, "changed_fields").status == "200"
    off = asked()
    assert wrong(off) == [("values-switched-off", None)]
    assert "Switch `Include Values` on" in str(the(off, "values-switched-off").do)
    assert system.graph.send(system.webhook, "leadgen").status == "200"
    assert "values-arrive" in codes()


def test_what_the_workers_know_is_told_beside_its_cause(system: System, asked: Callable[[str], Report]) -> None:
    for program in [system.start("serve"), system.start("work", "fetch")]:
        program.wait_ready()
    page = system.graph.pages()[0]
    system.graph.subscribe_app(system.webhook)
    system.graph.kill_token(page.page_id)
    system.graph.wait(system.graph.deliver(system.webhook, 1, page=page.page_id).job)
    eventually(lambda: system.records(ACCESS), 60, "the token is told broken")

    def findings() -> dict[str, str]:
        bad = [each for each in asked(page.page_id).findings if each.severity in ("wrong", "warning")]
        return {each.code: each.severity for each in bad}

    assert findings() == {"token-password-changed": "wrong", "access-broken": "warning"}
    system.graph.repair_token(page.page_id)  # and no `work retry` sees it
    assert findings() == {"access-broken": "wrong"}


def test_work_retry_tells_what_is_found_and_when_it_is_over(system: System) -> None:
    system.graph.subscribe_app(system.webhook)
    page, other = system.graph.pages()[:2]
    retry = system.start("work", "retry", HEALTH_CHECK="0.5").wait_ready()

    def told(page_id: str) -> dict[str, str] | None:
        values = [
            json.loads(each.value or b"") for each in system.records(ACCESS) if each.key == f"health:{page_id}".encode()
        ]
        return values[-1]["findings"] if values else None

    eventually(lambda: told(page.page_id) == told(other.page_id) == {}, 60, "all is fine")
    system.graph.describe_token(page.page_id, expires_at=in_days(3))
    system.graph.subscribe_page(other.page_id, [])
    eventually(lambda: told(page.page_id) == {"token-expires": "wrong"}, 60, "the token that expires")
    eventually(lambda: told(other.page_id) == {"page-not-subscribed": "wrong"}, 60, "the page without us")
    eventually(lambda: f'leadstream_token_days{{page_id="{page.page_id}"}} 2.9' in retry.metrics(), 60, "the metric")
    assert 'leadstream_health_pages{code="token-expires"} 1.0' in retry.metrics()
    system.graph.describe_token(page.page_id)
    eventually(lambda: told(page.page_id) == {}, 60, "the token that lives")

    lines = [json.loads(line) for line in retry.log.read_text().splitlines() if line.startswith("{")]
    events = [(each["event"], each["code"], each["page_id"]) for each in lines if each["event"].startswith("health.")]
    assert sorted(events) == sorted(
        [
            ("health.wrong", "token-expires", page.page_id),
            ("health.wrong", "page-not-subscribed", other.page_id),
            ("health.gone", "token-expires", page.page_id),
        ]
    )
    assert [secret for secret in secrets() if secret in retry.log.read_text() + retry.metrics()] == []
