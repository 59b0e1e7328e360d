"""Verbs about what exists: pages, forms, leads, the clock."""

from collections.abc import Mapping, Sequence

from deploy.sandbox.graph import facts
from deploy.sandbox.graph.control.lookup import UnknownObjectError, form_number, form_numbers, made_lead, page_number
from deploy.sandbox.graph.courier import Courier
from deploy.sandbox.graph.export import Style, download
from deploy.sandbox.graph.forms import ad_id, templates
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.ids import FORM_IDS, lead_id
from deploy.sandbox.graph.leads import full_answer
from deploy.sandbox.graph.shapes import AppInfo, FormInfo, Health, PageInfo


class WorldVerbs:
    """See admin.GraphAdmin for what each verb does."""

    def __init__(self, graph: Graph, courier: Courier) -> None:
        self._graph = graph
        self._state = graph.state
        self._courier = courier

    async def health(self) -> Health:
        """Alive, and which world this is."""
        state = self._state
        return Health(seed=state.world.seed, pages=state.page_count, now=state.now())

    async def reset(self, pages: int, history: int) -> None:
        """Begin the world again."""
        await self._courier.forget()
        self._graph.forget()
        self._state.begin(pages=pages, history=history)

    async def set_clock(self, ahead: float) -> None:
        """Run ahead of the machine's clock."""
        self._state.record(facts.ClockSet(ahead=ahead))

    async def app(self) -> AppInfo:
        """The app."""
        world, subscription = self._state.world, self._state.app_subscription
        return AppInfo(
            app_id=world.app.app_id,
            secret=world.app.secret,
            verify_token=world.app.verify_token,
            token=world.app.token,
            user_token=world.user_token(),
            foreign_app_id=world.foreign_app.app_id,
            foreign_secret=world.foreign_app.secret,
            callback_url=subscription.callback_url,
            fields=subscription.fields,
            include_values=subscription.include_values,
        )

    async def pages(self) -> list[PageInfo]:
        """Every page."""
        return [self._page(page.number) for page in self._state.pages()]

    async def add_pages(self, count: int) -> list[PageInfo]:
        """More pages."""
        first = self._state.page_count
        self._state.record(facts.PagesAdded(count=count))
        return [self._page(number) for number in range(first, first + count)]

    async def forms(self, page: str | None) -> list[FormInfo]:
        """Every form, or those of a page."""
        return [self._form(number) for number in form_numbers(self._state, page=page)]

    async def add_form(self, page: str, template: str, fields: Mapping[str, object]) -> FormInfo:
        """One more form."""
        if template not in templates():
            raise UnknownObjectError(f"there is no template {template}; there are: {', '.join(templates())}")
        form, number = self._state.next_form_number(), page_number(self._state, page)
        at = int(self._state.now())
        self._state.record(facts.FormAdded(form=form, at=at, page=number, template=template, changes=fields))
        return self._form(form)

    async def edit_form(self, form: str, fields: Mapping[str, object]) -> FormInfo:
        """Somebody edits a form."""
        number = form_number(self._state, form)
        self._state.record(facts.FormChanged(form=number, changes=fields))
        return self._form(number)

    async def questions(self, form: str) -> Sequence[Mapping[str, object]]:
        """A form's questions as they can be given back to edit_form."""
        return self._state.form(form_number(self._state, form)).questions

    async def make_leads(self, form: str, count: int, age: float, over: float) -> list[str]:
        """Leads nobody is told about."""
        number, end = form_number(self._state, form), self._state.now() - age
        numbers = self._state.make_leads(number, count, start=int(end - over), end=int(end))
        return [lead_id(number, n) for n in numbers]

    async def make_lead(self, form: str, fields: Mapping[str, object], age: float, is_test: bool) -> str:
        """One lead with chosen fields."""
        number, at = form_number(self._state, form), int(self._state.now() - age)
        (n,) = self._state.make_leads(number, 1, start=at, end=at)
        self._state.record(facts.LeadCrafted(form=number, n=n, fields=fields, is_test=is_test))
        return lead_id(number, n)

    async def delete_lead(self, lead: str) -> None:
        """A lead disappears."""
        form, n = made_lead(self._state, lead)
        self._state.record(facts.LeadDeleted(form=form, n=n))

    async def lead(self, lead: str) -> dict[str, object]:
        """All that is known of a lead, whatever tokens and faults say."""
        return full_answer(self._state.lead(*made_lead(self._state, lead)), seed=self._state.world.seed)

    async def lead_ids(self, form: str) -> list[str]:
        """Every lead of a form that can be read, newest first."""
        number = form_number(self._state, form)
        leads = self._state.leads_of(number)
        low, high = leads.readable_between(self._state.now())
        return [lead_id(number, n) for n in leads.newest_first(low, high)]

    async def download(self, form: str, style: Style) -> str:
        """A file as a person downloads it, in hex because it may be UTF-16."""
        return download(self._state, form_number(self._state, form), style).hex()

    def _page(self, number: int) -> PageInfo:
        state, page = self._state, self._state.world.page(number)
        access = state.access(number)
        return PageInfo(
            page_id=page.page_id,
            name=page.name,
            app_id=state.world.app.app_id,
            token=state.page_token(number),
            token_subcode=access.token_subcode,
            refused_as=access.refused_as,
            subscribed_fields=access.subscribed_fields,
            form_ids=[FORM_IDS.id_of(form) for form in state.form_numbers(number)],
        )

    def _form(self, number: int) -> FormInfo:
        form = self._state.form(number)
        return FormInfo(
            form_id=form.form_id,
            page_id=self._state.world.page(form.page).page_id,
            name=str(form.node["name"]),
            template=form.template,
            locale=str(form.node["locale"]),
            status=str(form.node["status"]),
            ad_ids=[ad_id(number, slot) for slot in form.ads],
            leads=self._state.leads_of(number).count,
        )
