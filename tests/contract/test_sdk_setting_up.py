"""With Meta's SDK and plain calls, all that webhooks need is set up: subscriptions, tokens, test leads, exports."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.adobjects.page import Page
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.thread import running_in_thread


class Peer:
    """The double, and the SDK pointed at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = GraphAdmin(url)
        self.app = self.admin.app()

    def api(self, token: str) -> FacebookAdsApi:
        session = FacebookSession(app_id=self.app.app_id, app_secret=self.app.secret, access_token=token)
        session.GRAPH = self.url  # the SDK's own place for the host
        return FacebookAdsApi(session, api_version="v25.0")


class Callback:
    """A webhook that answers the handshake with `answer` (None: the challenge) and keeps what is posted."""

    def __init__(self, verify_token: str) -> None:
        self.verify_token = verify_token
        self.answer: str | None = None
        self.posted: list[dict[str, object]] = []
        self.arrived = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                right = query["hub.mode"] == "subscribe" and query["hub.verify_token"] == outer.verify_token
                body = outer.answer if outer.answer is not None else query["hub.challenge"]
                self._reply(200 if right else 403, body)

            def do_POST(self) -> None:
                outer.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._reply(200, "")
                outer.arrived.set()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

            def _reply(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook"


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running_in_thread(tmp_path_factory.mktemp("graph"), history=0) as url:
        yield Peer(url)


@pytest.fixture
def peer(double: Peer) -> Peer:
    double.admin.reset(history=0)
    return double


@pytest.fixture
def callback(peer: Peer) -> Iterator[Callback]:
    found = Callback(peer.app.verify_token)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


def test_the_app_is_installed_on_a_page_and_removed(peer: Peer) -> None:
    info = peer.admin.pages()[0]
    page = Page(info.page_id, api=peer.api(info.token))
    page.create_subscribed_app(params={"subscribed_fields": ["leadgen", "leadgen_update"]})
    (app,) = page.get_subscribed_apps()
    assert (app["id"], app["subscribed_fields"]) == (peer.app.app_id, ["leadgen", "leadgen_update"])
    page.delete_subscribed_apps()
    assert list(page.get_subscribed_apps()) == []


def test_a_field_that_does_not_exist_cannot_be_subscribed(peer: Peer) -> None:
    page = peer.admin.pages()[0]
    params = {"subscribed_fields": "leadgen,nonsense"}
    with pytest.raises(FacebookRequestError) as refused:
        peer.api(page.token).call("POST", (page.page_id, "subscribed_apps"), params=params)
    assert refused.value.api_error_code() == 100


def test_subscribing_a_callback_shakes_hands_with_it(peer: Peer, callback: Callback) -> None:
    api, path = peer.api(peer.app.token), (peer.app.app_id, "subscriptions")
    params = {
        "object": "page",
        "fields": "leadgen",
        "callback_url": callback.url,
        "verify_token": callback.verify_token,
        "include_values": True,
    }
    assert api.call("POST", path, params=params).json() == {"success": True}
    (subscription,) = api.call("GET", path).json()["data"]
    assert (subscription["object"], subscription["callback_url"]) == ("page", callback.url)
    assert [field["name"] for field in subscription["fields"]] == ["leadgen"]


@pytest.mark.parametrize("answer", ["", "12345", "{challenge}\n"])
def test_a_handshake_that_fails_is_2200(peer: Peer, callback: Callback, answer: str) -> None:
    callback.answer = answer
    params = {
        "object": "page",
        "fields": "leadgen",
        "callback_url": callback.url,
        "verify_token": callback.verify_token,
    }
    with pytest.raises(FacebookRequestError) as refused:
        peer.api(peer.app.token).call("POST", (peer.app.app_id, "subscriptions"), params=params)
    assert refused.value.api_error_code() == 2200
    assert peer.admin.app().callback_url is None


def test_a_wrong_verify_token_fails_the_handshake(peer: Peer, callback: Callback) -> None:
    params = {"object": "page", "fields": "leadgen", "callback_url": callback.url, "verify_token": "guessed"}
    with pytest.raises(FacebookRequestError) as refused:
        peer.api(peer.app.token).call("POST", (peer.app.app_id, "subscriptions"), params=params)
    assert "403" in refused.value.api_error_message()


def test_a_test_lead_is_created_announced_listed_and_deleted(peer: Peer, callback: Callback) -> None:
    info = next(form for form in peer.admin.forms() if form.template == "solar")
    token = next(page.token for page in peer.admin.pages() if page.page_id == info.page_id)
    peer.admin.subscribe_app(callback.url)
    api = peer.api(token)
    form = LeadgenForm(info.form_id, api=api)
    made = form.create_test_lead(
        params={"custom_disclaimer_responses": [{"checkbox_key": "werbung_e_mail", "is_checked": True}]}
    )
    assert callback.arrived.wait(5)
    (announced,) = callback.posted[0]["entry"][0]["changes"]  # type: ignore[index]  # JSON
    assert str(announced["value"]["leadgen_id"]) == made["id"]

    fields = ["field_data", "is_organic", "platform", "ad_id", "custom_disclaimer_responses"]
    lead = Lead(made["id"], api=api).api_get(fields=fields).export_all_data()
    answers = {answer["name"]: answer["values"] for answer in lead["field_data"]}
    assert answers["telefonnummer"] == ["<test lead: dummy data for telefonnummer>"]
    assert len(answers["telefonnummer"][0]) > 40
    assert answers["e-mail-adresse"] == ["test@meta.com"]
    assert lead["is_organic"] is True
    assert "ad_id" not in lead
    assert lead["custom_disclaimer_responses"] == [
        {"checkbox_key": "werbung_e_mail", "is_checked": "1"},
        {"checkbox_key": "werbung_telefon", "is_checked": ""},
    ]

    assert [found["id"] for found in form.get_test_leads(fields=["id"])] == [made["id"]]
    with pytest.raises(FacebookRequestError):
        form.create_test_lead()
    Lead(made["id"], api=api).api_delete()
    assert list(form.get_test_leads(fields=["id"])) == []
    assert form.create_test_lead(params={"field_data": [{"name": "ort", "values": ["Köln"]}]})["id"] != made["id"]


def test_a_lead_that_is_no_test_lead_cannot_be_deleted(peer: Peer) -> None:
    page = peer.admin.pages()[0]
    (lead_id,) = peer.admin.make_leads(page.form_ids[0], 1)
    with pytest.raises(FacebookRequestError) as refused:
        Lead(lead_id, api=peer.api(page.token)).api_delete()
    assert (refused.value.api_error_code(), refused.value.api_error_subcode()) == (100, 33)


def test_a_test_lead_is_not_announced_where_the_app_is_not_installed(peer: Peer, callback: Callback) -> None:
    """The second level of the subscription is missing: silence, and no error anywhere."""
    page = peer.admin.pages()[0]
    peer.admin.subscribe_app(callback.url)
    peer.admin.subscribe_page(page.page_id, [])
    api = peer.api(page.token)
    made = LeadgenForm(page.form_ids[0], api=api).create_test_lead()
    Lead(made["id"], api=api).api_delete()
    peer.admin.subscribe_page(page.page_id)
    LeadgenForm(page.form_ids[0], api=api).create_test_lead()
    assert callback.arrived.wait(5)
    assert len(callback.posted) == 1


def test_debug_token_tells_what_a_page_token_is_good_for(peer: Peer) -> None:
    page = peer.admin.pages()[0]
    peer.admin.describe_token(page.page_id, expires_at=4102444800, missing_scopes=["pages_manage_metadata"])

    def debug() -> dict[str, object]:
        response = peer.api(peer.app.token).call("GET", ("debug_token",), params={"input_token": page.token})
        data: dict[str, object] = response.json()["data"]
        return data

    alive = debug()
    assert (alive["app_id"], alive["type"], alive["is_valid"]) == (peer.app.app_id, "PAGE", True)
    assert (alive["profile_id"], alive["expires_at"]) == (page.page_id, 4102444800)
    assert {"scope": "leads_retrieval", "target_ids": [page.page_id]} in alive["granular_scopes"]  # type: ignore[operator]  # JSON
    assert "pages_manage_metadata" not in alive["scopes"]  # type: ignore[operator]  # JSON
    peer.admin.kill_token(page.page_id, subcode=463)
    dead = debug()
    assert dead["is_valid"] is False
    assert dead["error"]["subcode"] == 463  # type: ignore[index]  # JSON


def test_a_user_token_is_exchanged_and_gives_the_pages_with_their_tokens(peer: Peer) -> None:
    exchange = {
        "grant_type": "fb_exchange_token",
        "client_id": peer.app.app_id,
        "client_secret": peer.app.secret,
        "fb_exchange_token": peer.app.user_token,
    }
    answer = peer.api(peer.app.token).call("GET", ("oauth", "access_token"), params=exchange).json()
    pages = peer.api(answer["access_token"]).call("GET", ("me", "accounts"), params={"limit": 2}).json()
    assert [page["access_token"] for page in pages["data"]] == [page.token for page in peer.admin.pages()[:2]]
    assert "next" in pages["paging"]


def test_debug_token_answers_the_app_and_who_develops_it_and_no_page(peer: Peer) -> None:
    def said(asking: str) -> object:
        params = {"input_token": peer.app.user_token}
        return peer.api(asking).call("GET", ("debug_token",), params=params).json()["data"]["app_id"]

    assert said(peer.app.token) == said(peer.app.user_token) == peer.app.app_id
    with pytest.raises(FacebookRequestError, match="You must provide an app access token"):
        said(peer.admin.pages()[0].token)


def test_a_token_is_exchanged_by_post_too_so_that_the_secret_stands_in_no_url(peer: Peer) -> None:
    exchange = {
        "grant_type": "fb_exchange_token",
        "client_id": peer.app.app_id,
        "client_secret": peer.app.secret,
        "fb_exchange_token": peer.app.user_token,
    }
    answer = peer.api(peer.app.token).call("POST", ("oauth", "access_token"), params=exchange).json()
    assert answer["access_token"] not in ("", peer.app.user_token)


def test_the_export_is_tab_separated_and_between_the_dates(peer: Peer) -> None:
    form = next(form for form in peer.admin.forms() if form.template == "newsletter")
    token = next(page.token for page in peer.admin.pages() if page.page_id == form.page_id)
    ids = peer.admin.make_leads(form.form_id, 21, over=2000)
    now = int(peer.admin.health().now)
    params = {"id": form.form_id, "type": "form", "from_date": str(now - 1000), "to_date": str(now + 10**6)}
    response = peer.api(token).call("GET", f"{peer.url}/ads/lead_gen/export_csv/", params=params)
    rows = list(csv.DictReader(io.StringIO(response.body()), dialect="excel-tab"))
    expected = [lead for lead in reversed(ids) if peer.admin.lead(lead)["created_time"] >= _graph_time(now - 1000)]
    assert [row["id"] for row in rows] == expected
    assert {row["is_organic"] for row in rows} == {"0", "1"}
    full = peer.admin.lead(rows[0]["id"])
    answers = {answer["name"]: answer.get("values", []) for answer in full["field_data"]}
    assert rows[0]["email"] == answers["email"][0]


def _graph_time(second: int) -> str:
    return datetime.fromtimestamp(second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
