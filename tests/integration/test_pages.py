"""`leadstream pages` as a newcomer types it, from a token to a lead that is announced; and no token is ever shown."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
import yaml
from pydantic import SecretStr

from deploy.pages.meta import NotDone, long_lived, owner_of
from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.thread import running_in_thread
from ingest.meta.client import GraphClient
from ingest.meta.pages import PageAccess
from ingest.meta.pages_file import write_pages
from ingest.records import DETAILS, RAW
from ingest.settings import MetaSettings
from tests.door import VERIFY_TOKEN, Broker, open_door
from tests.programs import LEADSTREAM, System, eventually

Outcome = TypeVar("Outcome")

UNREACHABLE = "http://127.0.0.1:9/webhook"  # the discard port, where nobody listens


@dataclass
class Newcomer:
    """Somebody with a Meta of their own, an app's secret and nothing in META_PAGES_FILE."""

    admin: GraphAdmin
    folder: Path
    said: str = ""  # by all commands, on both channels
    more: dict[str, str] = field(default_factory=dict)  # settings

    @property
    def file(self) -> Path:
        return self.folder / "pages.yaml"

    @property
    def env(self) -> dict[str, str]:
        settings = {
            "META_APP_SECRETS": self.admin.app().secret,
            "META_VERIFY_TOKEN": VERIFY_TOKEN,
            "META_PAGES_FILE": str(self.file),
            "META_GRAPH_URL": self.admin.url,
        }
        return os.environ | settings | self.more

    def pages(self, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        """`leadstream pages ...`, with a token piped to it."""
        done = subprocess.run(
            [str(LEADSTREAM), "pages", *arguments],
            input=token or "",
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.said += done.stdout + done.stderr
        return done

    def add(self, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.pages("add", *arguments, token=token or self.admin.app().user_token)

    @property
    def token(self) -> SecretStr:
        """Of a person, short-lived."""
        return SecretStr(self.admin.app().user_token)

    def holds_all(self) -> None:
        """META_PAGES_FILE as `pages add --all` writes it, without running it."""
        app_id = self.admin.app().app_id
        held = [
            PageAccess(page_id=page.page_id, token=SecretStr(page.token), app_id=app_id) for page in self.admin.pages()
        ]
        write_pages(self.file, held)

    def asks(self, ask: Callable[[GraphClient, MetaSettings], Awaitable[Outcome]]) -> Outcome:
        """What comes of asking Meta, without a command."""
        given = {name.lower(): value for name, value in self.env.items() if name.startswith("META_")}
        settings = MetaSettings.model_validate(given)

        async def run() -> Outcome:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                return await ask(GraphClient(session, settings), settings)

        return asyncio.run(run())

    def held(self) -> dict[str, dict[str, str]]:
        written = yaml.load(self.file.read_text(), Loader=yaml.BaseLoader)  # noqa: S506  it makes text and maps
        pages: dict[str, dict[str, str]] = written["pages"]
        return pages

    def subscribed(self) -> list[list[str]]:
        """What the app is told of each page, as Meta has it."""
        return [sorted(page.subscribed_fields) for page in self.admin.pages()]


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """No command may have said a token or a secret, whatever else it did."""
    with running_in_thread(tmp_path / "meta") as url:
        newcomer = Newcomer(GraphAdmin(url), tmp_path)
        yield newcomer
        app = newcomer.admin.app()
        secrets = [
            app.secret,
            app.token,
            app.user_token,
            VERIFY_TOKEN,
            *(page.token for page in newcomer.admin.pages()),
        ]
        assert [secret for secret in secrets if secret in newcomer.said] == []
        assert "EAA" not in newcomer.said  # nor one that was exchanged


# Adding


def test_a_persons_token_becomes_tokens_of_pages_that_never_end(newcomer: Newcomer) -> None:
    pages, app = newcomer.admin.pages(), newcomer.admin.app()

    done = newcomer.add("--all", "--yes")

    assert done.returncode == 0, done.stderr
    assert "it was exchanged for one that lasts" in done.stderr
    assert newcomer.held() == {page.page_id: {"token": page.token, "app_id": app.app_id} for page in pages}
    assert stat.S_IMODE(newcomer.file.stat().st_mode) == 0o600
    assert "Meta announces nothing yet." in done.stderr
    assert newcomer.admin.calls(endpoint="oauth").total == 1


def test_without_yes_it_is_only_shown(newcomer: Newcomer) -> None:
    newcomer.admin.subscribe_page(newcomer.admin.pages()[0].page_id, [])
    done = newcomer.add("--all")
    assert (done.returncode, newcomer.file.exists()) == (0, False)
    assert "Nothing was done. The same with --yes does it." in done.stderr
    assert newcomer.subscribed()[0] == []


def test_a_system_users_token_is_not_exchanged_and_all_of_its_pages_are_listed(newcomer: Newcomer) -> None:
    """What the double gives for a user's token is a system user's, which does not end."""
    newcomer.admin.add_pages(102)
    owner = newcomer.asks(lambda client, settings: owner_of(client, settings, newcomer.token))
    system_user = newcomer.asks(lambda client, _: long_lived(client, owner)).get_secret_value()
    newcomer.admin.forget_calls()

    wanted = newcomer.admin.pages()[-1].page_id
    done = newcomer.add("--page", wanted, "--yes", token=system_user)

    assert (done.returncode, list(newcomer.held())) == (0, [wanted])
    assert newcomer.admin.calls(endpoint="oauth").total == 0
    assert newcomer.admin.calls(endpoint="accounts").total == 2
    assert system_user not in newcomer.said


def test_what_else_stands_in_the_file_stays(newcomer: Newcomer) -> None:
    first, second, _ = newcomer.admin.pages()
    token_file = newcomer.folder / "second.token"
    token_file.write_text("EAAGold\n")
    before = (
        f'# ours\npages:\n  "7": {{token: EAAGother}}  # another\'s\n  {second.page_id}: {{token_file: second.token}}\n'
    )
    newcomer.file.write_text(before)
    newcomer.file.chmod(0o640)

    done = newcomer.add("--page", first.page_id, "--page", second.page_id, "--yes")

    assert done.returncode == 0, done.stderr
    app_id = newcomer.admin.app().app_id
    assert newcomer.held() == {
        "7": {"token": "EAAGother"},
        second.page_id: {"token_file": "second.token", "app_id": app_id},
        first.page_id: {"token": first.token, "app_id": app_id},
    }
    assert token_file.read_text() == f"{second.token}\n"
    assert newcomer.file.read_text().startswith('# ours\npages:\n  "7": {token: EAAGother}  # another\'s\n')
    assert stat.S_IMODE(newcomer.file.stat().st_mode) == 0o640
    assert "open to others on this machine" in done.stderr


def test_a_token_that_dies_within_hours_is_not_kept_and_a_page_that_waits_for_a_repair_is(newcomer: Newcomer) -> None:
    """The first as in n8n#23020; leads of the second are parked until Meta lets them be read, and nothing is lost."""
    dying, waiting, well = newcomer.admin.pages()
    newcomer.admin.describe_token(dying.page_id, expires_at=int(newcomer.admin.health().now) + 3600)
    newcomer.admin.revoke_access(waiting.page_id)

    done = newcomer.add("--all", "--yes")

    assert (done.returncode, list(newcomer.held())) == (1, [waiting.page_id, well.page_id])
    assert f"page {dying.page_id} cannot be added: its token dies within a day" in done.stdout
    assert re.search(rf"page {waiting.page_id}: .*Leads Access Manager", done.stdout)
    assert [re.split(r" {2,}", row)[4] for row in done.stdout.splitlines()[1:4]] == ["no", "no", "yes"]


@pytest.mark.parametrize(
    ("token", "secrets", "said"),
    [
        ("EAAGnonsense", None, "the token is not valid"),
        ("EAAGnonsense", "{id}:{secret}", "the token is not valid"),
        ("{page}", None, "Write META_APP_SECRETS as `<app id>:<secret>`"),
        ("{user}", "another-apps-secret", "META_APP_SECRETS has no secret of the app"),
        ("{user}", "{id}:another-apps-secret", "Meta does not take the secret of app"),
    ],
)
def test_a_token_that_leads_nowhere_is_a_sentence(
    newcomer: Newcomer, token: str, secrets: str | None, said: str
) -> None:
    app = newcomer.admin.app()
    if secrets is not None:
        newcomer.more["META_APP_SECRETS"] = secrets.format(id=app.app_id, secret=app.secret)
    given = SecretStr(token.format(user=app.user_token, page=newcomer.admin.pages()[0].token))
    with pytest.raises(NotDone, match=said):
        newcomer.asks(lambda client, settings: owner_of(client, settings, given))


@pytest.mark.parametrize("code", [None, 100])
def test_the_tokens_app_is_found_among_several(newcomer: Newcomer, code: int | None) -> None:
    """Meta tells an app of another app's token with #100 that it is, or says of which app it is."""
    app = newcomer.admin.app()
    newcomer.more["META_APP_SECRETS"] = f"{app.foreign_app_id}:{app.foreign_secret},{app.app_id}:{app.secret}"
    if code is not None:
        newcomer.admin.fault("error", endpoint="debug_token", app=app.foreign_app_id, code=code)
    owner = newcomer.asks(lambda client, settings: owner_of(client, settings, newcomer.token))
    assert (owner.app_id, owner.secret.get_secret_value()) == (app.app_id, app.secret)


def test_a_token_of_none_of_our_apps_says_so(newcomer: Newcomer) -> None:
    app = newcomer.admin.app()
    newcomer.more["META_APP_SECRETS"] = f"{app.foreign_app_id}:{app.foreign_secret}"
    newcomer.admin.fault("error", endpoint="debug_token", code=100)
    with pytest.raises(NotDone, match=f"it is not of app {app.foreign_app_id}: make one for that app"):
        newcomer.asks(lambda client, settings: owner_of(client, settings, newcomer.token))


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("oauth", "cannot be exchanged for one that lasts"),
        ("accounts", "the pages of this token's person cannot be listed"),
    ],
)
def test_a_refusal_halfway_leaves_no_file_and_says_what_to_do(newcomer: Newcomer, endpoint: str, said: str) -> None:
    newcomer.admin.fault("error", endpoint=endpoint, code=4)
    done = newcomer.add("--all", "--yes")
    assert (done.returncode, newcomer.file.exists()) == (1, False)
    assert f"{said}: Meta was asked too often: try again in" in done.stderr


def test_a_pages_own_token_is_taken_for_that_page(newcomer: Newcomer) -> None:
    page, app = newcomer.admin.pages()[1], newcomer.admin.app()
    newcomer.more["META_APP_SECRETS"] = f"{app.app_id}:{app.secret}"
    done = newcomer.add("--all", "--yes", token=page.token)
    assert (done.returncode, newcomer.held()) == (0, {page.page_id: {"token": page.token, "app_id": app.app_id}})


def test_an_apps_own_token_opens_no_page(newcomer: Newcomer) -> None:
    done = newcomer.add("--all", "--yes", token=newcomer.admin.app().token)
    assert (done.returncode, newcomer.file.exists()) == (1, False)
    assert "this is an app's own token" in done.stderr


# At a terminal


class Terminal:
    """A command at a terminal, and what it shows there."""

    def __init__(self, *arguments: str, newcomer: Newcomer) -> None:
        self.shown = ""
        self._read = 0
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [str(LEADSTREAM), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=newcomer.env,
            cwd=newcomer.folder,
        )
        os.close(theirs)

    def reads(self, text: str) -> None:
        """Waits until it is shown, behind what was waited for before."""
        while text not in self.shown[self._read :]:
            assert self._more(), f"{text!r} was not shown, but {self.shown!r}"
        self._read = self.shown.index(text, self._read) + len(text)

    def types(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        while self._more():
            pass
        os.close(self._ours)
        return self._process.wait(20)

    def _more(self) -> bool:
        if not select.select([self._ours], [], [], 20)[0]:
            return False
        try:
            shown = os.read(self._ours, 4096).decode()
        except OSError:  # EIO: the other side is closed
            return False
        self.shown += shown
        return bool(shown)


def test_a_newcomer_is_walked_from_a_token_to_a_subscribed_app(newcomer: Newcomer) -> None:
    pages = newcomer.admin.pages()
    for page in pages:
        newcomer.admin.subscribe_page(page.page_id, [])

    async def walk() -> None:
        async with open_door(Broker()) as door:
            await asyncio.to_thread(_walk, newcomer, door.sender.url)

    asyncio.run(walk())

    assert list(newcomer.held()) == [pages[0].page_id, pages[2].page_id]
    assert newcomer.subscribed() == [["leadgen"], [], ["leadgen"]]
    app = newcomer.admin.app()
    assert (list(app.fields), app.include_values) == (["leadgen"], True)
    listed = newcomer.pages("list", "--json")
    assert (listed.returncode, [page["usable"] for page in json.loads(listed.stdout)]) == (0, [True, True])


def _walk(newcomer: Newcomer, door: str) -> None:
    terminal = Terminal("pages", "add", newcomer=newcomer)
    terminal.reads("(not shown): ")
    terminal.types(newcomer.admin.app().user_token)
    terminal.reads("Which (such as 1,3 or all): ")
    terminal.types("1,4")
    terminal.reads("4 is no number from 1 to 3")
    terminal.reads("Which (such as 1,3 or all): ")
    terminal.types("1,3")
    terminal.reads("empty for later): ")
    terminal.types(door)
    terminal.reads("Do this? [y/N]: ")
    terminal.types("y")
    assert terminal.ended() == 0
    newcomer.said += terminal.shown


def test_whoever_ends_it_at_the_last_question_finds_the_file_as_it_was(newcomer: Newcomer) -> None:
    newcomer.file.write_text("pages: {}\n")
    terminal = Terminal("pages", "add", "--all", "--no-subscribe", newcomer=newcomer)
    terminal.reads("(not shown): ")
    terminal.types(newcomer.admin.app().user_token)
    terminal.reads("Do this? [y/N]: ")
    terminal.interrupt()
    assert (terminal.ended(), newcomer.file.read_text()) == (1, "pages: {}\n")
    newcomer.said += terminal.shown


# Subscribing


def test_both_levels_are_subscribed_and_what_was_there_stays(newcomer: Newcomer) -> None:
    page = newcomer.admin.pages()[0]
    newcomer.holds_all()
    newcomer.admin.subscribe_page(page.page_id, ["feed"])
    newcomer.admin.subscribe_app("http://127.0.0.1:9/old", fields=["feed"], include_values=False)
    newcomer.admin.forget_calls()

    async def subscribe() -> tuple[subprocess.CompletedProcess[str], str]:
        async with open_door(Broker()) as door:
            wanted = ("subscribe", "--page", page.page_id, "--updates", "--callback", door.sender.url, "--yes")
            done = await asyncio.to_thread(newcomer.pages, *wanted)
            again = await asyncio.to_thread(newcomer.pages, *wanted)
            assert again.returncode == 0, again.stderr
            return done, door.sender.url

    done, url = asyncio.run(subscribe())

    assert done.returncode == 0, done.stderr
    assert "and no more to http://127.0.0.1:9/old" in done.stdout
    assert newcomer.subscribed()[0] == ["feed", "leadgen", "leadgen_update"]
    app = newcomer.admin.app()
    assert set(app.fields) == {"feed", "leadgen", "leadgen_update"}
    assert (app.callback_url, app.include_values) == (url, True)
    assert newcomer.admin.calls(endpoint="subscribed_apps").total == 3  # read, set, read


def test_a_callback_that_does_not_answer_is_refused_with_what_to_look_at(newcomer: Newcomer) -> None:
    newcomer.holds_all()
    done = newcomer.pages("subscribe", "--all", "--callback", UNREACHABLE, "--yes")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "Is `leadstream serve` up?" in said
    assert "META_VERIFY_TOKEN" in said
    assert newcomer.admin.app().callback_url is None


def test_a_dead_token_keeps_no_other_page_from_being_subscribed(newcomer: Newcomer) -> None:
    first, second, third = newcomer.admin.pages()
    newcomer.holds_all()
    newcomer.admin.kill_token(first.page_id, subcode=463)
    for page in (first, second):
        newcomer.admin.subscribe_page(page.page_id, [])

    done = newcomer.pages("subscribe", "--all", "--yes")

    assert done.returncode == 1
    assert f"page {first.page_id}: what the app is told of it cannot be read. The token is dead" in done.stdout
    assert newcomer.subscribed() == [[], ["leadgen"], ["leadgen"]]
    assert f"page {third.page_id}: the app is told of leadgen already" in done.stdout


# Listing


def test_the_list_says_of_each_page_how_it_stands_and_what_to_do(newcomer: Newcomer) -> None:
    first, second, third = newcomer.admin.pages()
    newcomer.holds_all()
    newcomer.admin.subscribe_app(UNREACHABLE)
    newcomer.admin.kill_token(first.page_id, subcode=460)
    newcomer.admin.subscribe_page(second.page_id, ["feed"])
    newcomer.admin.describe_token(third.page_id, expires_at=4102444800)

    done = newcomer.pages("list")

    assert done.returncode == 1
    head, *rows = done.stdout.splitlines()[:4]
    app_id = newcomer.admin.app().app_id
    assert [re.split(r" {2,}", row) for row in rows] == [
        [first.page_id, "-", app_id, "dead", "never", "-", "-", "no"],
        [second.page_id, second.name, app_id, "page", "never", "no", "yes", "no"],
        [third.page_id, third.name, app_id, "page", "2100-01-01 00:00", "yes", "yes", "yes"],
    ]
    assert head.index("name") == rows[1].index(second.name) == rows[2].index(third.name)
    assert f"page {first.page_id}: The token is dead" in done.stdout
    assert f"page {second.page_id}: Our app is installed on this page for feed, and not for leadgen." in done.stdout
    assert f"page {third.page_id}:" not in done.stdout


# All of it


def test_a_lead_of_a_page_that_was_just_added_arrives(system: System, tmp_path: Path) -> None:
    """With the programs as they run for users; only Meta is a double."""
    newcomer = Newcomer(system.graph, tmp_path)
    page = system.graph.pages()[0]
    system.graph.subscribe_page(page.page_id, [])
    verify_token = system.graph.app().verify_token
    newcomer.more = {"META_VERIFY_TOKEN": verify_token}
    system.start("serve").wait_ready()

    done = newcomer.add("--page", page.page_id, "--callback", system.webhook, "--yes")
    assert done.returncode == 0, done.stderr
    system.start("work", "fetch", META_PAGES_FILE=str(newcomer.file)).wait_ready()
    form = f"{system.graph.url}/v25.0/{page.form_ids[0]}/test_leads"
    request = urllib.request.Request(form, b"", {"Authorization": f"Bearer {page.token}"})  # noqa: S310  our double
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  our double
        lead = json.load(answer)["id"]

    eventually(lambda: lead in system.keys(DETAILS), 60, "the test lead on details")
    assert system.keys(RAW) == {page.page_id}
