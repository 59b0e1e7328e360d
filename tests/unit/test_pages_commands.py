"""`leadstream pages`: what it takes, what is said of a page before it is added, and what subscribing would change."""

import re
from dataclasses import replace
from typing import Any

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy.cli import app
from deploy.pages.choosing import Candidate, candidate, lacking, numbers
from deploy.pages.cli import pages
from deploy.pages.meta import Look
from deploy.pages.subscribe import callback_url
from deploy.pages.subscribing import Hook, Step, steps
from deploy.pages.words import ends, explained, printable
from ingest.health import AppSeen, Circumstances, PageSeen, Seen, judge
from ingest.meta.errors import GraphError, OverBudget, Unavailable, refusal
from ingest.meta.graph import Account, Installed, LeadAccess, PageNode, Subscription, TokenFacts
from ingest.meta.pages import PageAccess
from ingest.settings import SettingsError

NOW = 1_764_000_000
SCOPES = frozenset(
    {"ads_management", "leads_retrieval", "pages_manage_metadata", "pages_read_engagement", "pages_show_list"}
)
HOOK = Hook(url="https://leads.example.com/webhook", verify_token=SecretStr("verify me"))


# `Any`: fields of several types, by name.
def facts(**changed: Any) -> TokenFacts:
    token = TokenFacts(is_valid=True, kind="PAGE", app_id="7", profile_id="102", expires_at=0, scopes=SCOPES)
    return replace(token, **changed)


def looked_at(
    token: TokenFacts | GraphError | None = None,
    *,
    installed: tuple[str, ...] = (),
    subscribed: Subscription | None = None,
    app_id: str | None = "7",
) -> Look:
    """A page as an examination of Meta that answered so would see it."""
    page = PageSeen(
        page=PageAccess(page_id="102", token=SecretStr("EAAGpage"), app_id=app_id),
        token=token or facts(),
        node=PageNode(name="Harbor", access=LeadAccess(can_access_lead=True)),
        apps=(Installed(app_id="7", fields=frozenset(installed)), Installed(app_id="8", fields=frozenset({"feed"}))),
    )
    app = AppSeen(app_id=app_id, has_secret=True, subscription=subscribed or (), pages=(page,))
    findings = judge(Seen(apps=(app,)), Circumstances(now=NOW, api_version="v25.0", alarm_days=0))
    return Look(
        seen=page,
        app=app,
        findings=tuple(each for each in findings if each.page_id is not None),
        of_app=tuple(each for each in findings if each.page_id is None),
    )


def found(look: Look | None, *, tasks: frozenset[str] | None = frozenset({"ADVERTISE"})) -> Candidate:
    account = Account(page_id="102", name="Harbor", token=None, tasks=tasks)
    return candidate(account, look, lacks=(), now=NOW)


# What it takes


@pytest.mark.parametrize("command", ["add", "list", "subscribe"])
def test_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, ["pages", command, "--help"])
    assert f"Example: leadstream pages {command}" in " ".join(shown.stdout.split())


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("pages") / "pages.yaml"
    file.write_text("pages: {102: {token: EAAGpage}}\n")
    for name, value in {"APP_SECRETS": "an app secret", "PAGES_FILE": str(file), "VERIFY_TOKEN": "verify me"}.items():
        monkeypatch.setenv(f"META_{name}", value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["subscribe"],
        ["subscribe", "--all", "--page=102"],
        ["subscribe", "--all", "--callback=leads.example.com"],
        ["add", "--all", "--callback=http://leads.example.com/webhook"],
        ["add", "--all"],  # nothing is piped to it
    ],
)
@pytest.mark.usefixtures("set_up")
def test_what_means_nothing_is_used_wrongly(arguments: list[str]) -> None:
    result = CliRunner().invoke(pages, arguments)
    assert (result.exit_code, "Invalid value" in result.stderr) == (2, True)


@pytest.mark.usefixtures("set_up")
def test_a_piped_token_that_is_none_is_not_shown() -> None:
    result = CliRunner().invoke(pages, ["add", "--all"], input="EAAG planted\n")
    assert (result.exit_code, "planted" in result.output) == (2, False)


@pytest.mark.usefixtures("set_up")
def test_a_page_that_is_not_in_the_file_cannot_be_subscribed() -> None:
    result = CliRunner().invoke(pages, ["subscribe", "--page=103"])
    assert (result.exit_code, "META_PAGES_FILE has no page 103" in result.stderr) == (1, True)


@pytest.mark.usefixtures("set_up")
def test_without_a_file_there_is_nothing_to_subscribe_and_it_says_which_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_PAGES_FILE", "/nowhere/pages.yaml")
    result = CliRunner().invoke(pages, ["subscribe", "--all"])
    assert "/nowhere/pages.yaml: cannot be read" in str(result.exception)


@pytest.mark.usefixtures("set_up")
def test_a_token_file_that_is_not_there_is_a_sentence() -> None:
    result = CliRunner().invoke(pages, ["add", "--all", "--token-file=/nowhere/token"])
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception) == "/nowhere/token cannot be read: No such file or directory"


@pytest.mark.parametrize("url", ["https://leads.example.com/webhook", "http://127.0.0.1:8080/webhook"])
def test_a_callback_is_https_or_on_this_machine(url: str) -> None:
    assert callback_url(url) == url


@pytest.mark.parametrize(
    "url", ["http://leads.example.com", "https:///webhook", "https://me:pass@here/", "https://a/#b"]
)
def test_another_callback_is_none(url: str) -> None:
    with pytest.raises(typer.BadParameter):
        callback_url(url)


@pytest.mark.parametrize(
    ("text", "places"), [("1", [0]), ("3,1", [0, 2]), ("1 2", [0, 1]), ("2-4", [1, 2, 3]), ("ALL", [0, 1, 2, 3])]
)
def test_pages_are_chosen_by_number(text: str, places: list[int]) -> None:
    assert numbers(text, 4) == places


@pytest.mark.parametrize("text", ["", "0", "5", "3-1", "one", "1;2", "-1"])
def test_what_is_no_number_of_a_page_is_asked_again(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        numbers(text, 4)


# What can be said of a page


def test_a_page_that_can_be_read_is_kept_without_a_word() -> None:
    page = found(looked_at())
    assert (page.refused, page.readable, page.troubles) == (None, True, ())
    assert page.page is not None


def test_a_person_without_the_task_reads_no_leads() -> None:
    page = found(looked_at(), tasks=frozenset({"ANALYZE"}))
    assert (page.refused, page.readable) == (None, False)
    assert "lacks the task ADVERTISE" in page.troubles[0]


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (facts(is_valid=False, subcode=460), "changed the password"),
        (facts(expires_at=NOW + 7200, issued_at=NOW), "its token dies within a day"),
        (facts(kind="USER"), "no token of this page"),
        (facts(profile_id="103"), "no token of this page"),
        (Unavailable("timeout"), "what its token is cannot be asked"),
    ],
)
def test_a_token_that_is_of_no_use_is_not_kept(token: TokenFacts | GraphError, why: str) -> None:
    page = found(looked_at(token))
    assert page.refused is not None
    assert why in page.refused
    assert page.page is None


def test_a_page_without_a_token_is_not_kept() -> None:
    page = found(None)
    assert page.refused is not None
    assert "no token of it" in page.refused


def test_a_token_that_ends_in_two_months_is_kept_as_some_system_users_have_them() -> None:
    assert found(looked_at(facts(expires_at=NOW + 60 * 86400, issued_at=NOW))).refused is None


def test_what_the_persons_token_lacks_is_said_once_and_not_of_each_page() -> None:
    token = facts(scopes=SCOPES - {"leads_retrieval"})
    account = Account(page_id="102", name="Harbor", token=None, tasks=None)

    [lack] = lacking(token)
    page = candidate(account, looked_at(token), lacks=["leads_retrieval"], now=NOW)

    assert (lack.about, lack.severity) == ("leads_retrieval", "wrong")
    assert (page.readable, page.troubles) == (False, ())


def test_a_permission_that_was_granted_for_other_pages_is_said_of_the_page() -> None:
    [trouble] = found(looked_at(facts(targets={"leads_retrieval": frozenset({"103"})}))).troubles
    assert trouble.startswith("leads_retrieval was granted for other pages")


def test_a_page_of_which_meta_said_nothing_is_not_said_to_be_well() -> None:
    there = Subscription(callback_url=HOOK.url, is_active=True, fields=frozenset({"leadgen"}))
    assert looked_at(installed=("leadgen",), subscribed=there).wrong == []
    unread = looked_at(refusal({"code": 2}, 500), installed=("leadgen",), subscribed=there)
    assert unread.wrong != []


# What subscribing would change


def plan(look: Look, *fields: str, hook: Hook | None = None) -> list[Step]:
    return list(steps([look], fields or ("leadgen",), hook))


def asked(step: Step) -> dict[str, str]:
    assert step.ask is not None
    return dict(step.ask.params)


def test_a_page_that_is_subscribed_is_left_alone() -> None:
    [step] = plan(looked_at(installed=("leadgen",)))
    assert (step.ask, step.is_wrong, "already" in step.what) == (None, False, True)


def test_what_a_page_is_subscribed_to_besides_stays() -> None:
    [step] = plan(looked_at(installed=("feed",)), "leadgen", "leadgen_update")
    assert asked(step) == {"subscribed_fields": "feed,leadgen,leadgen_update"}
    assert step.what == "page 102: the app is told of leadgen, leadgen_update (besides feed)"


def test_a_callback_comes_first_keeps_the_apps_fields_and_says_what_it_replaces() -> None:
    there = Subscription(callback_url="https://old.example.com", is_active=True, fields=frozenset({"feed"}))
    first, _ = plan(looked_at(subscribed=there), hook=HOOK)
    assert asked(first)["fields"] == "feed,leadgen"
    assert first.what.endswith("go to https://leads.example.com/webhook, and no more to https://old.example.com")
    assert "verify me" not in repr(first)


def test_a_callback_is_set_again_where_it_is_already() -> None:
    """Meta does not say whether values are included, and shakes hands anew: the one test of the way that there is."""
    there = Subscription(callback_url=HOOK.url, is_active=True, fields=frozenset({"leadgen"}))
    first, _ = plan(looked_at(subscribed=there), hook=HOOK)
    assert asked(first)["include_values"] == "true"
    assert "no more" not in first.what


def test_one_app_is_set_once_for_all_of_its_pages() -> None:
    look = looked_at()
    assert [step.app_id for step in steps([look, look], ["leadgen"], HOOK) if step.page is None] == ["7"]


def test_where_it_is_not_known_which_app_is_ours_nothing_is_overwritten() -> None:
    first, second = plan(looked_at(app_id=None), hook=HOOK)
    assert (first.is_wrong, first.ask, second.is_wrong, second.ask) == (True, None, True, None)
    assert "app_id in META_PAGES_FILE" in second.what


# Words


REFUSALS = [
    refusal({"code": code, "error_subcode": subcode}, 400)
    for code, subcode in [(190, n) for n in (None, 458, 459, 460, 463, 464, 492)]
    + [(code, None) for code in (1, 2, 3, 4, 10, 100, 102, 200, 368, 2200, 80001)]
    + [(100, 33)]
]


@pytest.mark.parametrize("error", [*REFUSALS, Unavailable("no-connection"), Unavailable("redirected")], ids=str)
def test_each_refusal_is_a_sentence_that_ends_with_metas_numbers(error: GraphError) -> None:
    said = explained(error, callback=HOOK.url)
    assert said.endswith(f"({error})")
    assert re.search(r"try again|make another|look at|ask for|has to|Meta|give them", said)


def test_a_pause_says_how_long() -> None:
    assert "try again in 20 minutes" in explained(OverBudget("app-limit", scope="app", regain_after=1200.0))


@pytest.mark.parametrize(
    ("at", "said"), [(0, "never"), (None, "not said"), (NOW, "2025-11-24 16:00"), (10**18, "far away")]
)
def test_when_a_token_ends_is_a_word_or_a_time(at: int | None, said: str) -> None:
    assert ends(facts(expires_at=at)) == said


def test_a_pages_name_moves_no_cursor() -> None:
    assert printable("Harbor\x1b[2J\nAuto") == "Harbor [2J Auto"
