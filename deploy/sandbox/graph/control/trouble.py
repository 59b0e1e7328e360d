"""Verbs that make things go wrong and right again: faults, latency, tokens, access, budgets."""

from collections.abc import Sequence
from typing import Any

from deploy.sandbox.graph import facts
from deploy.sandbox.graph.control.lookup import page_number
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.shapes import Fault, Latency, Refused
from deploy.sandbox.graph.usage import WINDOW, Rolling


class TroubleVerbs:
    """See admin.GraphAdmin for what each verb does."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._state = graph.state

    # Any: Fault and Latency check their own names.
    async def set_fault(self, **fault: Any) -> int:
        """Put a fault in force."""
        return self._graph.faults.set_fault(Fault(**fault))

    async def lift(self, fault: int | None) -> int:
        """Lift a fault, or all."""
        return self._graph.faults.lift(fault)

    async def met(self, fault: int) -> int:
        """How many calls a fault has met."""
        return self._graph.faults.met(fault)

    async def set_latency(self, **latency: Any) -> None:
        """How long calls take."""
        self._graph.faults.set_latency(Latency(**latency))

    async def kill_token(self, page: str, subcode: int) -> None:
        """The page's token is dead."""
        self._state.record(facts.TokenMarked(page=page_number(self._state, page), subcode=subcode))

    async def repair_token(self, page: str) -> None:
        """The same token lives again."""
        self._state.record(facts.TokenMarked(page=page_number(self._state, page), subcode=None))

    async def replace_token(self, page: str) -> str:
        """A new token; the old one is dead."""
        number = page_number(self._state, page)
        self._state.record(facts.TokenReplaced(page=number))
        return self._state.page_token(number)

    # Any: TokenDescribed checks its own names.
    async def describe_token(self, page: str, **told: Any) -> None:
        """What debug_token says."""
        self._state.record(facts.TokenDescribed(page=page_number(self._state, page), **told))

    async def revoke_access(self, page: str, how: Refused) -> None:
        """Leads of the page may not be read."""
        self._state.record(facts.AccessChanged(page=page_number(self._state, page), how=how))

    async def restore_access(self, page: str) -> None:
        """They may again."""
        self._state.record(facts.AccessChanged(page=page_number(self._state, page), how=None))

    async def hide_fields(self, page: str, fields: Sequence[str], code: int, omit: bool) -> None:
        """Lead fields the page's token may not read."""
        number = page_number(self._state, page)
        self._state.record(facts.FieldsRestricted(page=number, fields=fields, code=code, omit=omit))

    async def throttle(self, page: str, seconds: float) -> None:
        """The page's budget is used up for so long."""
        budget = self._graph.usage.budget(page_number(self._state, page))
        budget.blocked_until = self._state.now() + seconds

    async def set_budget(self, page: str, calls: int | None, window: float | None) -> None:
        """Another budget than Meta's formula."""
        budget = self._graph.usage.budget(page_number(self._state, page))
        budget.limit, budget.rolling = calls, Rolling(window=window or WINDOW)

    async def set_app_budget(self, calls: int | None) -> None:
        """Calls per hour of the whole app; beyond it #4."""
        self._graph.usage.app_limit = calls

    async def set_limits(self, leads: int, page_usage: bool) -> None:
        """How many leads one page of a bulk read may hold, and whether X-Page-Usage is sent."""
        self._graph.limits.leads = leads
        self._graph.usage.sends_page_usage = page_usage

    async def require_proof(self, required: bool) -> None:
        """The app's "Require App Secret" switch."""
        self._graph.tokens.requires_proof = required

    async def subscribe_app(self, url: str | None, fields: Sequence[str], include_values: bool) -> None:
        """Set the callback without a handshake."""
        self._state.record(facts.AppSubscribed(callback_url=url, fields=fields, include_values=include_values))

    async def subscribe_page(self, page: str, fields: Sequence[str]) -> None:
        """What the app listens to on a page."""
        self._state.record(facts.PageSubscribed(page=page_number(self._state, page), fields=fields))
