"""What Meta's SDK sees when the Graph double refuses, breaks or throttles; and its batches."""

import json
from collections.abc import Callable, Iterator

import pytest
import requests
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.api import FacebookAdsApi, FacebookResponse
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.errors import known_refusals
from deploy.sandbox.graph.shapes import FaultKind, PageInfo, Refused
from deploy.sandbox.graph.thread import running_in_thread


class Peer:
    """The double with one lead, and the SDK pointed at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = GraphAdmin(url)
        self.app = self.admin.app()

    def begin(self) -> None:
        self.admin.reset(history=0)
        self.pages = self.admin.pages()
        self.page = self.pages[0]
        self.form = self.page.form_ids[0]
        (self.lead,) = self.admin.make_leads(self.form, 1)

    def api(self, token: str | None = None, *, secret: str | None = None, timeout: float = 5.0) -> FacebookAdsApi:
        session = FacebookSession(
            app_id=self.app.app_id,
            app_secret=secret or self.app.secret,
            access_token=token or self.page.token,
            timeout=timeout,
        )
        session.GRAPH = self.url  # the SDK's own place for the host
        return FacebookAdsApi(session, api_version="v25.0")

    def read(self, api: FacebookAdsApi | None = None, fields: tuple[str, ...] = ("id",)) -> Lead:
        return Lead(self.lead, api=api or self.api()).api_get(fields=list(fields))

    def refusal(self, read: Callable[[], object] | None = None) -> FacebookRequestError:
        with pytest.raises(FacebookRequestError) as refused:
            (read or self.read)()
        return refused.value


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running_in_thread(tmp_path_factory.mktemp("graph"), history=0) as url:
        yield Peer(url)


@pytest.fixture
def peer(double: Peer) -> Peer:
    double.begin()
    return double


def code_of(error: FacebookRequestError) -> tuple[int | None, int | None]:
    return error.api_error_code(), error.api_error_subcode()


@pytest.mark.parametrize("code_and_subcode", sorted(known_refusals(), key=str))
def test_every_known_refusal_reaches_the_sdk_as_code_and_subcode(
    peer: Peer, code_and_subcode: tuple[int, int | None]
) -> None:
    code, subcode = code_and_subcode
    peer.admin.fault("error", lead=peer.lead, code=code, subcode=subcode, calls=1)
    error = peer.refusal()
    expected = known_refusals()[code_and_subcode]
    assert code_of(error) == code_and_subcode
    assert error.http_status() == expected.status
    assert error.api_transient_error() == bool(expected.transient)
    assert error.body()["error"]["fbtrace_id"]
    assert peer.read()["id"] == peer.lead, "one call only"


def test_throttling_is_http_400_without_retry_after(peer: Peer) -> None:
    peer.admin.throttle(peer.page.page_id, seconds=150)
    error = peer.refusal()
    assert (error.api_error_code(), error.http_status()) == (80005, 400)
    assert "Retry-After" not in error.http_headers()
    usage = json.loads(error.http_headers()["X-Business-Use-Case-Usage"])[peer.page.page_id]
    assert usage == [
        {
            "type": "leadgen",
            "call_count": 100,
            "total_cputime": 33,
            "total_time": 33,
            "estimated_time_to_regain_access": 3,
        }
    ]


def test_a_field_that_is_not_there_fails_the_whole_request(peer: Peer) -> None:
    error = peer.refusal(lambda: peer.api().call("GET", (peer.lead,), params={"fields": "id,bogus"}))
    assert code_of(error) == (100, None)
    assert "(bogus)" in error.api_error_message()


def test_hidden_ad_fields_fail_the_request_or_are_left_out(peer: Peer) -> None:
    peer.admin.make_leads(peer.form, 1)
    peer.admin.hide_fields(peer.page.page_id, ["ad_id", "ad_name", "campaign_name"])
    assert code_of(peer.refusal(lambda: peer.read(fields=("id", "ad_id")))) == (100, None)
    assert peer.read(fields=("id", "is_organic"))["id"] == peer.lead
    peer.admin.hide_fields(peer.page.page_id, ["ad_id"], omit=True)
    assert peer.read(fields=("id", "ad_id")).export_all_data() == {"id": peer.lead}


def test_a_field_may_need_a_capability_the_app_lacks(peer: Peer) -> None:
    """As in facebook-java-business-sdk#450: one field too many, and the whole lead is refused with #3."""
    peer.admin.hide_fields(peer.page.page_id, ["post_submission_check_result"], code=3)
    assert code_of(peer.refusal(lambda: peer.read(fields=("id", "post_submission_check_result")))) == (3, None)
    assert peer.read()["id"] == peer.lead


def test_a_lead_of_another_page_looks_like_one_that_does_not_exist(peer: Peer) -> None:
    other = peer.api(peer.pages[1].token)
    foreign = peer.refusal(lambda: peer.read(other))
    nothing = peer.refusal(lambda: Lead("444444444444", api=peer.api()).api_get(fields=["id"]))
    assert code_of(foreign) == code_of(nothing) == (100, 33)
    assert foreign.api_error_message().replace(peer.lead, "444444444444") == nothing.api_error_message()


@pytest.mark.parametrize("subcode", [458, 460, 463, 467, 492])
def test_a_dead_token_says_why_and_lives_again_when_repaired(peer: Peer, subcode: int) -> None:
    peer.admin.kill_token(peer.page.page_id, subcode=subcode)
    assert code_of(peer.refusal()) == (190, subcode)
    peer.admin.repair_token(peer.page.page_id)
    assert peer.read()["id"] == peer.lead


def test_a_replaced_token_works_and_the_old_one_is_dead(peer: Peer) -> None:
    new = peer.admin.replace_token(peer.page.page_id)
    assert code_of(peer.refusal()) == (190, 460)
    assert peer.read(peer.api(new))["id"] == peer.lead


@pytest.mark.parametrize(("how", "expected"), [("100/33", (100, 33)), ("10", (10, None)), ("200", (200, None))])
def test_revoked_access_refuses_leads_and_says_so_on_the_page(
    peer: Peer, how: Refused, expected: tuple[int, int | None]
) -> None:
    asked = "has_lead_access.user_id(1).app_id(2){can_access_lead,failure_reason}"
    page = (peer.page.page_id,)
    assert peer.api().call("GET", page, params={"fields": asked}).json()["has_lead_access"] == {"can_access_lead": True}
    peer.admin.revoke_access(peer.page.page_id, how=how)
    assert code_of(peer.refusal()) == expected
    access = peer.api().call("GET", page, params={"fields": asked}).json()["has_lead_access"]
    assert access["can_access_lead"] is False
    assert access["failure_reason"]
    peer.admin.restore_access(peer.page.page_id)
    assert peer.read()["id"] == peer.lead


def test_a_proof_made_with_another_secret_is_refused(peer: Peer) -> None:
    error = peer.refusal(lambda: peer.read(peer.api(secret=peer.app.foreign_secret)))
    assert code_of(error) == (100, None)
    assert error.api_error_type() == "GraphMethodException"


def test_a_required_proof_must_be_there(peer: Peer) -> None:
    url, token = f"{peer.url}/v25.0/{peer.lead}", {"access_token": peer.page.token}
    assert requests.get(url, params=token, timeout=5).status_code == 200
    peer.admin.require_proof()
    assert peer.read()["id"] == peer.lead, "the SDK sends one"
    refused = requests.get(url, params=token, timeout=5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, 100)


def test_a_server_error_without_a_body_is_a_failure_without_a_code(peer: Peer) -> None:
    peer.admin.fault("status", lead=peer.lead, status=503)
    error = peer.refusal()
    assert (error.http_status(), code_of(error)) == (503, (None, None))


@pytest.mark.parametrize("kind", ["html", "truncated"])
def test_a_body_that_is_no_json_is_taken_for_an_answer_by_the_sdk(peer: Peer, kind: FaultKind) -> None:
    """The SDK calls any text a success unless it says "Service Unavailable", and falls over it: why ours must not."""
    peer.admin.fault(kind, lead=peer.lead)
    with pytest.raises(TypeError, match="string indices must be integers"):
        peer.read()


def test_service_unavailable_comes_with_http_200(peer: Peer) -> None:
    peer.admin.fault("unavailable", lead=peer.lead)
    assert peer.refusal().http_status() == 200


@pytest.mark.parametrize("kind", ["reset", "short"])
def test_a_connection_that_breaks_is_the_transports_error(peer: Peer, kind: FaultKind) -> None:
    peer.admin.fault(kind, lead=peer.lead)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        peer.read()


def test_a_call_that_hangs_never_answers(peer: Peer) -> None:
    peer.admin.fault("hang", lead=peer.lead)
    with pytest.raises(requests.Timeout):
        peer.read(peer.api(timeout=0.2))


def test_a_batch_answers_in_order_and_one_error_fails_no_other(peer: Peer) -> None:
    ids = peer.admin.make_leads(peer.form, 48)
    answers: dict[str, FacebookResponse] = {}
    batch = peer.api().new_batch()
    for lead_id in [*ids, "444444444444"]:
        keep = lambda response, lead_id=lead_id: answers.__setitem__(lead_id, response)  # noqa: E731 - one per item
        Lead(lead_id, api=peer.api()).api_get(fields=["id"], batch=batch, success=keep, failure=keep)
    assert batch.execute() is None
    assert [answers[lead_id].json()["id"] for lead_id in ids] == ids
    assert code_of(answers["444444444444"].error()) == (100, 33)
    usage = {header["name"]: header["value"] for header in answers[ids[0]].headers()}
    assert peer.page.page_id in json.loads(usage["x-business-use-case-usage"])
    calls = peer.admin.calls()
    assert (calls.by_endpoint["batch"], calls.by_endpoint["lead"], calls.in_batches) == (1, 48, 49)


def test_null_items_of_a_batch_are_handed_back_to_be_asked_again(peer: Peer) -> None:
    ids = peer.admin.make_leads(peer.form, 3)
    peer.admin.fault("null", lead=ids[1], calls=1)
    found: list[str] = []
    batch = peer.api().new_batch()
    for lead_id in ids:
        keep = lambda response: found.append(response.json()["id"])  # noqa: E731 - the SDK's callback
        Lead(lead_id, api=peer.api()).api_get(fields=["id"], batch=batch, success=keep)
    again = batch.execute()
    assert found == [ids[0], ids[2]]
    assert again.execute() is None
    assert found == [ids[0], ids[2], ids[1]]


def test_items_of_a_batch_may_have_tokens_of_their_own(peer: Peer) -> None:
    pages: list[PageInfo] = peer.pages
    leads = [peer.admin.make_leads(page.form_ids[0], 1)[0] for page in pages]
    items = [
        {"method": "GET", "relative_url": f"v25.0/{lead}?fields=id&access_token={page.token}"}
        for lead, page in zip(leads, pages, strict=True)
    ]
    items.append({"method": "GET", "relative_url": f"{leads[1]}?fields=id"})
    posted = {"access_token": peer.page.token, "batch": json.dumps(items), "include_headers": "false"}
    answers = requests.post(peer.url, data=posted, timeout=5).json()
    assert [json.loads(answer["body"]).get("id") for answer in answers] == [*leads, None]
    assert [answer["code"] for answer in answers] == [200, 200, 200, 400]
    assert all("headers" not in answer for answer in answers)


def test_more_than_fifty_items_are_refused(peer: Peer) -> None:
    batch = peer.api().new_batch()
    for _ in range(51):
        batch.add("GET", (peer.lead,))
    assert code_of(peer.refusal(batch.execute)) == (100, None)


def test_a_batch_whose_own_token_is_dead_is_refused_whole(peer: Peer) -> None:
    peer.admin.kill_token(peer.page.page_id)
    batch = peer.api().new_batch()
    batch.add("GET", (peer.lead,))
    assert code_of(peer.refusal(batch.execute)) == (190, 460)


def test_reading_too_many_leads_at_once_says_reduce_the_amount(peer: Peer) -> None:
    peer.admin.set_limits(leads=100)
    form = LeadgenForm(peer.form, api=peer.api())
    assert code_of(peer.refusal(lambda: form.get_leads(fields=["id"], params={"limit": 101}))) == (1, 99)
    assert len(form.get_leads(fields=["id"], params={"limit": 100})) == 1


@pytest.fixture(autouse=True)
def no_trouble_is_left(double: Peer) -> Iterator[None]:
    yield
    double.admin.lift()
