"""Graph answers one call: what goes wrong, who asks, what is left of the budget, what is asked; and its headers."""

import random
import time
from collections.abc import Callable, Mapping

from deploy.sandbox.graph import edges, subscriptions, tokens
from deploy.sandbox.graph.auth import Caller, Tokens
from deploy.sandbox.graph.call import NOTHING, Answer, Call, Target, find_target, graph_json, refused
from deploy.sandbox.graph.calls import CallLog
from deploy.sandbox.graph.errors import RefusedError, missing, refusal
from deploy.sandbox.graph.export import export_leads
from deploy.sandbox.graph.faults import Circumstances, Faults, replaced_answer, spoil
from deploy.sandbox.graph.ids import FORM_IDS
from deploy.sandbox.graph.leads import Lead
from deploy.sandbox.graph.nodes import delete_lead, page_answer, read_node
from deploy.sandbox.graph.shapes import Fault
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.usage import Usage

EXPORT = ("ads", "lead_gen", "export_csv")
NAMED = {
    ("debug_token",): "debug_token",
    ("oauth", "access_token"): "oauth",
    ("me",): "me",
    ("me", "accounts"): "accounts",
}


class Graph:
    """The API itself, without a socket. `announce` tells the subscribed callback of a test lead."""

    def __init__(self, state: State, *, announce: Callable[[Lead], None] = lambda _: None) -> None:
        self.state = state
        self.tokens = Tokens(state)
        self.usage = Usage(recent_leads=state.recent_leads, now=state.now)
        self.calls = CallLog()
        self.faults = Faults(random.Random(state.world.seed))  # noqa: S311 - repeatable troubles
        self.limits = edges.Limits()
        self.announce = announce

    async def answer(self, call: Call, *, in_batch: bool = False) -> Answer:
        """The answer to one call, alone or from a batch. It counts in the page's budget, whatever comes of it."""
        at = time.time()
        endpoint, target = self._endpoint(call)
        page_id = self.state.world.page(target.page).page_id if target.page is not None else ""
        self.usage.count(target.page)
        fault = self._fault(call, endpoint, target, page_id, in_batch=in_batch)
        answer = replaced_answer(fault, target.object_id) if fault is not None else None
        if answer is None:
            answer = await self._answered(call, endpoint, target)
        answer.headers |= self.usage.headers(target.page, page_id)
        answer.headers["facebook-api-version"] = call.version
        if fault is not None:
            spoil(fault, answer)
        answer.delay += self.faults.latency(endpoint)
        self.calls.add(
            at=at,
            endpoint=endpoint,
            page=page_id,
            lead=target.object_id if target.kind == "lead" else "",
            token=self.tokens.name_of(call.token),
            code=answer.code,
            in_batch=in_batch,
        )
        return answer

    def note_batch(self, call: Call, answer: Answer) -> None:
        """The batch itself in the call log; it takes as long as its slowest item, or as endpoint `batch` does."""
        answer.delay = max(answer.delay, self.faults.latency("batch"))
        self.calls.add(
            at=time.time(),
            endpoint="batch",
            page="",
            lead="",
            token=self.tokens.name_of(call.token),
            code=answer.code,
            in_batch=False,
        )

    def forget(self) -> None:
        """No calls, no faults, no changed limits: what is not in the state starts again."""
        self.calls.clear()
        self.usage.clear()
        self.faults.clear()
        self.limits = edges.Limits()
        self.tokens = Tokens(self.state)

    def fault_of_batch(self, call: Call) -> Fault | None:
        """What goes wrong with a batch as a whole: a fault of endpoint `batch`, of its own token or of the app."""
        return self._fault(call, "batch", NOTHING, "", in_batch=False)

    def _endpoint(self, call: Call) -> tuple[str, Target]:
        """What the call log and faults call this endpoint, and what its id stands for."""
        path = call.path
        if path == EXPORT:
            return "export_csv", find_target(self.state, call.params.get("id", ""))
        if path in NAMED:
            return NAMED[path], NOTHING
        if not path:
            return "none", NOTHING
        target = find_target(self.state, path[0])
        return (path[1] if len(path) > 1 else target.kind), target

    def _fault(self, call: Call, endpoint: str, target: Target, page_id: str, *, in_batch: bool) -> Fault | None:
        if not self.faults.any:
            return None
        return self.faults.find(
            Circumstances(
                endpoint=endpoint,
                app=self.tokens.app_of(call.token),
                page=page_id,
                form=FORM_IDS.id_of(target.form) if target.form is not None else "",
                lead=target.object_id if target.kind == "lead" else "",
                token=call.token or "",
                in_batch=in_batch,
            )
        )

    async def _answered(self, call: Call, endpoint: str, target: Target) -> Answer:
        try:
            if endpoint == "oauth":
                return Answer(status=200, body=graph_json(tokens.exchange_token(self.state, call.params)))
            caller = self.tokens.caller(call.token, call.params)
            self.usage.check(target.page)
            if endpoint == "export_csv":
                text = export_leads(self.state, caller, call.params)
                return Answer(status=200, body=text, content_type="text/tab-separated-values")
            return Answer(status=200, body=graph_json(await self._dispatch(call, caller, endpoint, target)))
        except RefusedError as error:
            return refused(error.refusal)

    async def _dispatch(  # noqa: PLR0911, PLR0912 - one line for each endpoint, and no other place for them
        self, call: Call, caller: Caller, endpoint: str, target: Target
    ) -> Mapping[str, object]:
        """What answers this method on this endpoint; 100/33 when nothing does."""
        state, params = self.state, call.params
        match call.method, endpoint:
            case "GET", "leads" if target.kind in ("form", "ad"):
                return edges.read_leads(state, caller, target, call, self.limits)
            case "GET", "leadgen_forms" if target.kind == "page":
                return edges.read_forms(state, caller, target, call)
            case "GET", "test_leads":
                return edges.read_test_leads(state, caller, target, call)
            case "POST", "test_leads":
                lead = state.lead(target.form or 0, edges.create_test_lead(state, caller, target, params))
                self.announce(lead)
                return {"id": lead.lead_id}
            case "GET", "subscribed_apps":
                return subscriptions.read_subscribed_apps(state, caller, target)
            case "POST" | "DELETE", "subscribed_apps":
                install = call.method == "POST"
                return subscriptions.change_subscribed_apps(state, caller, target, params, install=install)
            case "GET", "subscriptions":
                return subscriptions.read_subscriptions(state, caller, target)
            case "POST", "subscriptions":
                return await subscriptions.subscribe(state, caller, target, params)
            case "DELETE", "subscriptions":
                return subscriptions.unsubscribe(state, caller, target)
            case "GET", "accounts":
                return edges.read_accounts(state, caller, call)
            case "GET", "debug_token":
                return tokens.debug_token(state, self.tokens, caller, params)
            case "GET", "me":
                return self._me(caller, params)
            case "DELETE", "lead":
                return delete_lead(state, caller, target)
            case "GET", ("lead" | "form" | "page" | "ad" | "app") if len(call.path) == 1:
                return read_node(state, caller, target, params)
            case _:
                raise missing(target.object_id or "/".join(call.path), call.method.lower())

    def _me(self, caller: Caller, params: Mapping[str, str]) -> Mapping[str, object]:
        if caller.page is not None:
            return page_answer(self.state, caller, caller.page, params.get("fields"))
        if caller.kind == "app":
            raise RefusedError(refusal(2500))
        return {"id": self.state.world.user_id, "name": "Sandbox System User"}
