"""Meta's own SDK and our bulk read find the same leads, each with the same answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from pydantic import SecretStr

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.shapes import FormInfo
from deploy.sandbox.graph.thread import running_in_thread
from ingest.bulk import BulkRead, LeadsPage, Slice
from ingest.meta.client import GraphClient
from ingest.meta.errors import AccessLost, Blocked, OverBudget
from ingest.meta.graph import LEAD_FIELDS, Usage
from ingest.meta.pages import PageAccess
from ingest.settings import AppSecret, MetaSettings

DAY = 24 * 3600.0
Leads = dict[str, dict[str, object]]


class NoOneBefore:
    """No live leads, and no budget that is used up."""

    @asynccontextmanager
    async def turn(self, page: PageAccess) -> AsyncIterator[None]:
        yield

    async def gave(self, page: PageAccess, usage: Usage) -> None: ...

    async def refused(self, page: PageAccess, error: OverBudget | Blocked | AccessLost) -> None:
        raise error


class Peers:
    """A form of the double with leads of 80 days, and the two who read it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = GraphAdmin(url)
        self.app = self.admin.app()
        self.form: FormInfo = next(form for form in self.admin.forms() if form.template == "test_drive")
        self.ids = self.admin.make_leads(self.form.form_id, 230, over=80 * DAY)
        self._token = next(page.token for page in self.admin.pages() if page.page_id == self.form.page_id)

    def sdk(self, edge: LeadgenForm | Ad, **params: object) -> Leads:
        """As the SDK reads an edge to its end."""
        found = edge.get_leads(fields=LEAD_FIELDS, params={"limit": 40, **params})
        return {lead["id"]: lead.export_all_data() for lead in found}

    def edge(self, of: type[LeadgenForm | Ad], edge_id: str) -> LeadgenForm | Ad:
        session = FacebookSession(app_id=self.app.app_id, app_secret=self.app.secret, access_token=self._token)
        session.GRAPH = self.url  # the SDK's own place for the host
        return of(edge_id, api=FacebookAdsApi(session, api_version="v25.0"))

    def ours(
        self, edge_id: str, *, since: int | None = None, until: int | None = None
    ) -> tuple[Leads, list[LeadsPage]]:
        """As we read it: what each lead's text says, and the pages."""
        settings = MetaSettings(
            meta_app_secrets=(AppSecret(app_id=self.app.app_id, secret=SecretStr(self.app.secret)),),
            meta_graph_url=self.url,
        )
        page = PageAccess(page_id=self.form.page_id, token=SecretStr(self._token), app_id=self.app.app_id)

        async def scenario() -> list[LeadsPage]:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                bulk = BulkRead(GraphClient(session, settings), NoOneBefore(), most=40)
                wanted = Slice(edge_id=edge_id, page=page, since=since, until=until)
                return [each async for each in bulk.pages(wanted)]

        pages = asyncio.run(scenario())
        return {lead.lead_id: json.loads(lead.text) for each in pages for lead in each.leads}, pages


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with running_in_thread(tmp_path_factory.mktemp("graph"), history=0) as url:
        yield Peers(url)


def test_a_form_is_read_alike_with_its_organic_leads(peers: Peers) -> None:
    ours, pages = peers.ours(peers.form.form_id)
    assert ours == peers.sdk(peers.edge(LeadgenForm, peers.form.form_id))
    assert set(ours) == set(peers.ids)
    assert len(pages) == 6
    assert any(lead["is_organic"] for lead in ours.values())
    assert all(lead == peers.admin.lead(lead_id) for lead_id, lead in ours.items()), "every field that there is"


def test_an_ad_is_read_alike(peers: Peers) -> None:
    for ad_id in peers.form.ad_ids:
        ours, _ = peers.ours(ad_id)
        assert ours == peers.sdk(peers.edge(Ad, ad_id))
        assert {lead["ad_id"] for lead in ours.values()} == {ad_id}


def test_times_are_filtered_alike_to_the_second(peers: Peers) -> None:
    every, _ = peers.ours(peers.form.form_id)
    by_time = sorted(_second(lead) for lead in every.values())
    since, until = by_time[60], by_time[170]
    filtering = [
        {"field": "time_created", "operator": "GREATER_THAN_OR_EQUAL", "value": since},
        {"field": "time_created", "operator": "LESS_THAN", "value": until},
    ]
    ours, pages = peers.ours(peers.form.form_id, since=since, until=until)
    assert ours == peers.sdk(peers.edge(LeadgenForm, peers.form.form_id), filtering=filtering)
    assert ours == {lead_id: lead for lead_id, lead in every.items() if since <= _second(lead) < until}
    assert (len(ours), sum(page.outside for page in pages)) == (110, 0), "Meta filters, and we had nothing to drop"


def _second(lead: dict[str, object]) -> int:
    return int(datetime.fromisoformat(str(lead["created_time"])).timestamp())
