"""Verbs about deliveries, and about what was called."""

from collections.abc import Sequence
from typing import Any

from deploy.sandbox.graph.calls import CallFilter
from deploy.sandbox.graph.control.lookup import UnknownObjectError, form_numbers
from deploy.sandbox.graph.courier import Courier
from deploy.sandbox.graph.deliver import Job, Order
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.shapes import Calls, CraftedKind, Delivery, PostInfo, Sent


class DeliveryVerbs:
    """See admin.GraphAdmin for what each verb does."""

    def __init__(self, graph: Graph, courier: Courier) -> None:
        self._graph = graph
        self._state = graph.state
        self._courier = courier

    # Any: Order checks its own names.
    async def deliver(
        self, url: str, leads: int, page: str | None = None, forms: Sequence[str] | None = None, **how: Any
    ) -> Delivery:
        """Start a delivery."""
        numbers = form_numbers(self._state, page=page, forms=forms)
        if leads < 1 or not numbers:
            raise UnknownObjectError("deliver needs at least one lead and one form")
        return self._courier.start(Order(url=url, leads=leads, forms=numbers, **how)).progress()

    async def progress(self, job: int) -> Delivery:
        """Where a delivery stands."""
        return self._job(job).progress()

    async def stop(self, job: int) -> Delivery:
        """End a delivery."""
        await self._courier.stop(self._job(job).number)
        return self._job(job).progress()

    async def posts(self, job: int) -> list[PostInfo]:
        """Every POST of a delivery."""
        return self._job(job).report()

    async def send(self, url: str, kind: CraftedKind, form: str | None, field: str) -> Sent:
        """One crafted POST, once."""
        numbers = form_numbers(self._state, forms=[form] if form is not None else None)
        return await self._courier.send(url, kind, numbers[0], field=field)

    async def acknowledged(self) -> list[str]:
        """Every lead whose announcement was answered 200."""
        return sorted(map(str, self._courier.acknowledged.leads))

    # Any: CallFilter checks its own names.
    async def calls(self, **chosen: Any) -> Calls:
        """How many calls match."""
        return self._graph.calls.count(CallFilter(**chosen))

    async def lead_calls(self, **chosen: Any) -> dict[str, int]:
        """How often each lead was asked for."""
        return self._graph.calls.leads(CallFilter(**chosen))

    async def forget_calls(self) -> None:
        """Empty the log of calls."""
        self._graph.calls.clear()

    def _job(self, number: int) -> Job:
        if not 0 <= number < len(self._courier.jobs):
            raise UnknownObjectError(f"there is no delivery {number} since the double was started")
        return self._courier.jobs[number]
