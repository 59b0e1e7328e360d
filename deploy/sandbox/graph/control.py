"""The admin interface on the server's side: one verb each under `/_admin/`, JSON in and JSON out. admin.py is its client."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from deploy.sandbox.graph import facts
from deploy.sandbox.graph.calls import CallFilter
from deploy.sandbox.graph.deliver import Courier, Order
from deploy.sandbox.graph.forms import ad_id
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.ids import lead_id, lead_number
from deploy.sandbox.graph.leads import full_answer

# Any: the arguments of a verb are its client's business; both ends are ours and are tested together.
Arguments = dict[str, Any]
Verb = Callable[[Arguments], Awaitable[object]]


class BadRequestError(Exception):
    """The admin asked for something that cannot be; the text says what."""


class Control:
    """Answers the admin."""

    def __init__(self, graph: Graph, directory: Path) -> None:
        self._graph = graph
        self._state = graph.state
        self.courier = Courier(graph.state, directory)
        self._verbs: dict[str, Verb] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request of the admin."""
        verb = self._verbs.get(request.path.removeprefix("/_admin/"))
        if verb is None:
            return web.json_response({"error": f"no such verb; there are: {', '.join(sorted(self._verbs))}"}, status=404)
        try:
            result = await verb(orjson.loads(await request.read() or b"{}"))
        except (BadRequestError, KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.Response(body=orjson.dumps(result), content_type="application/json")

    async def close(self) -> None:
        """End deliveries."""
        await self.courier.close()

    async def do_health(self, _: Arguments) -> object:
        """Alive, and which world this is."""
        state = self._state
        return {"seed": state.world.seed, "pages": state.page_count, "now": state.now()}

    async def do_reset(self, arguments: Arguments) -> object:
        """Begin the world again."""
        await self.courier.forget()
        self._graph.calls.clear()
        self._graph.usage.clear()
        self._state.begin(pages=arguments["pages"], history=arguments["history"])
        return {}

    async def do_pages(self, _: Arguments) -> object:
        """Every page."""
        return [self._page(page.number) for page in self._state.pages()]

    async def do_forms(self, arguments: Arguments) -> object:
        """Every form, or those of a page."""
        return [self._form(number) for number in self._forms(arguments)]

    async def do_make_leads(self, arguments: Arguments) -> object:
        """Leads that nobody is told about."""
        form, now = self._form_number(arguments["form"]), int(self._state.now())
        end = int(now - arguments["age"])
        numbers = self._state.make_leads(form, arguments["count"], start=int(end - arguments["over"]), end=end)
        return [lead_id(form, n) for n in numbers]

    async def do_make_lead(self, arguments: Arguments) -> object:
        """One lead with chosen fields."""
        form = self._form_number(arguments["form"])
        at = int(self._state.now() - arguments["age"])
        (n,) = self._state.make_leads(form, 1, start=at, end=at)
        self._state.record(facts.LeadCrafted(form=form, n=n, fields=arguments["fields"], is_test=arguments["is_test"]))
        return lead_id(form, n)

    async def do_delete_lead(self, arguments: Arguments) -> object:
        """A lead disappears."""
        form, n = self._lead(arguments["lead"])
        self._state.record(facts.LeadDeleted(form=form, n=n))
        return {}

    async def do_lead(self, arguments: Arguments) -> object:
        """All that is known of a lead, whatever tokens and faults say."""
        return full_answer(self._state.lead(*self._lead(arguments["lead"])), seed=self._state.world.seed)

    async def do_deliver(self, arguments: Arguments) -> object:
        """Start a delivery."""
        forms = self._forms(arguments)
        arguments.pop("page", None)
        if arguments["leads"] < 1 or not forms:
            raise BadRequestError("deliver needs at least one lead and one form")
        return self.courier.start(Order(**{**arguments, "forms": forms})).progress()

    async def do_progress(self, arguments: Arguments) -> object:
        """Where a delivery stands."""
        return self.courier.jobs[arguments["job"]].progress()

    async def do_stop(self, arguments: Arguments) -> object:
        """End a delivery."""
        await self.courier.stop(arguments["job"])
        return self.courier.jobs[arguments["job"]].progress()

    async def do_posts(self, arguments: Arguments) -> object:
        """Every POST of a delivery."""
        return [
            {
                "number": post.number,
                "leads": [lead_id(*divmod(number, 10**8)) for number in post.leads],
                "statuses": post.statuses,
                "acknowledged": post.acknowledged,
            }
            for post in self.courier.jobs[arguments["job"]].posts
        ]

    async def do_acknowledged(self, _: Arguments) -> object:
        """Every lead whose announcement was answered 200."""
        return sorted(map(str, self.courier.acknowledged.leads))

    async def do_calls(self, arguments: Arguments) -> object:
        """How many calls match."""
        return self._graph.calls.count(CallFilter(**arguments))

    async def do_lead_calls(self, arguments: Arguments) -> object:
        """How often each lead was asked for."""
        return self._graph.calls.leads(CallFilter(**arguments))

    def _page(self, number: int) -> dict[str, object]:
        state, page = self._state, self._state.world.page(number)
        access = state.access(number)
        return {
            "page_id": page.page_id,
            "name": page.name,
            "app_id": state.world.app.app_id,
            "token": state.page_token(number),
            "token_subcode": access.token_subcode,
            "refused_as": access.refused_as,
            "subscribed_fields": list(access.subscribed_fields),
            "form_ids": [state.form(form).form_id for form in state.form_numbers(number)],
        }

    def _form(self, number: int) -> dict[str, object]:
        form = self._state.form(number)
        return {
            "form_id": form.form_id,
            "page_id": self._state.world.page(form.page).page_id,
            "name": form.node["name"],
            "template": form.template,
            "locale": form.node["locale"],
            "status": form.node["status"],
            "ad_ids": [ad_id(number, slot) for slot in form.ads],
            "leads": self._state.leads_of(number).count,
        }

    def _forms(self, arguments: Arguments) -> list[int]:
        if forms := arguments.get("forms"):
            return [self._form_number(form) for form in forms]
        if page := arguments.get("page"):
            return self._state.form_numbers(self._page_number(page))
        return [form for page in self._state.pages() for form in self._state.form_numbers(page.number)]

    def _page_number(self, page_id: str) -> int:
        number = self._state.page_number(page_id)
        if number is None:
            raise BadRequestError(f"there is no page {page_id}: GET /_admin/pages lists them")
        return number

    def _form_number(self, form_id: str) -> int:
        number = self._state.form_number(form_id)
        if number is None:
            raise BadRequestError(f"there is no form {form_id}: GET /_admin/forms lists them")
        return number

    def _lead(self, object_id: str) -> tuple[int, int]:
        numbers = lead_number(object_id)
        if numbers is None or not self._state.form_exists(numbers[0]) or numbers[1] >= self._state.leads_of(numbers[0]).count:
            raise BadRequestError(f"there never was a lead {object_id}")
        return numbers
