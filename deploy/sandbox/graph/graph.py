"""Graph answers one call: who asks, is the budget left, what is asked, and the answer with its headers."""

import time
from collections.abc import Mapping

from deploy.sandbox.graph.auth import Caller, Tokens
from deploy.sandbox.graph.call import Answer, Call, Target, find_target, graph_json
from deploy.sandbox.graph.calls import CallLog
from deploy.sandbox.graph.errors import RefusedError, missing
from deploy.sandbox.graph.nodes import delete_lead, read_node
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.usage import Usage


class Graph:
    """The API itself, without a socket."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.tokens = Tokens(state)
        self.usage = Usage(recent_leads=state.recent_leads, now=state.now)
        self.calls = CallLog()

    async def answer(self, call: Call) -> Answer:
        """The answer to one call, alone or from a batch."""
        at = time.time()
        target = find_target(self.state, call.path[0]) if call.path else Target(kind="none")
        try:
            caller = self.tokens.caller(call.token, call.params)
            self.usage.spend(target.page)
            answer = Answer(status=200, body=graph_json(await self._dispatch(call, caller, target)))
        except RefusedError as error:
            answer = Answer(status=error.refusal.status, body=error.refusal.body(), code=error.refusal.code)
        page_id = self.state.world.page(target.page).page_id if target.page is not None else ""
        answer.headers |= self.usage.headers(target.page, page_id)
        self.calls.add(
            at=at,
            endpoint=target.kind if len(call.path) < 2 else call.path[1],  # noqa: PLR2004 - an id and an edge
            page=page_id,
            lead=target.object_id if target.kind == "lead" else "",
            token=self.tokens.name_of(call.token),
            code=answer.code,
            in_batch=False,
        )
        return answer

    async def _dispatch(self, call: Call, caller: Caller, target: Target) -> Mapping[str, object]:
        if len(call.path) == 1:
            if call.method == "GET":
                return read_node(self.state, caller, target, call.params)
            if call.method == "DELETE" and target.kind == "lead":
                return delete_lead(self.state, caller, target)
        raise missing(target.object_id, call.method.lower())
