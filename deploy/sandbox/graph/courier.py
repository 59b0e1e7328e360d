"""Runs deliveries side by side, announces test leads by itself, and sends single crafted POSTs."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import aiohttp

from deploy.sandbox.graph.crafted import craft
from deploy.sandbox.graph.deliver import Job, Order
from deploy.sandbox.graph.ids import LEADS_PER_FORM
from deploy.sandbox.graph.leads import Lead
from deploy.sandbox.graph.posting import Acknowledged, send_post
from deploy.sandbox.graph.shapes import CraftedKind, Sent
from deploy.sandbox.graph.state import State


class Courier:
    """Carries out orders, any number at once."""

    def __init__(self, state: State, directory: Path) -> None:
        self.acknowledged = Acknowledged(directory)
        self.jobs: list[Job] = []
        self._state = state
        self._chance = random.Random(f"{state.world.seed} crafted")  # noqa: S311 - mixed styles, repeatably
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, order: Order) -> Job:
        """Begin an order: make its leads and announce them."""
        return self._begin(order, None)

    def _begin(self, order: Order, leads: list[int] | None, *, include_values: bool = True) -> Job:
        job = Job(len(self.jobs), order, self._state, self.acknowledged, leads=leads, include_values=include_values)
        self.jobs.append(job)
        self._tasks.append(asyncio.create_task(job.run()))
        return job

    def announce(self, lead: Lead) -> None:
        """Tell the subscribed callback about a lead, as Meta does by itself for leads and test leads."""
        subscription, page = self._state.app_subscription, lead.form.page
        wanted = "leadgen" in subscription.fields and "leadgen" in self._state.access(page).subscribed_fields
        if subscription.callback_url is None or not wanted:
            return
        order = Order(url=subscription.callback_url, leads=0, forms=[lead.form.number])
        self._begin(order, [lead.form.number * LEADS_PER_FORM + lead.n], include_values=subscription.include_values)

    async def send(self, url: str, kind: CraftedKind, form: int, *, field: str) -> Sent:
        """Send one crafted POST, once."""
        post = craft(self._state, kind, form, field=field, chance=self._chance)
        timeout = aiohttp.ClientTimeout(total=20.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            status, text = await send_post(session, url, post.body, post.headers)
        leads = [lead.lead_id for lead in post.leads]
        if leads and status == "200" and kind not in ("unsigned", "wrong_signature", "leadgen_update"):
            self.acknowledged.add(leads)
        return Sent(kind=kind, status=status, answer=text, leads=leads, body=post.body.decode())

    async def finish(self, number: int) -> None:
        """Wait until a job is done."""
        await self._tasks[number]

    async def stop(self, number: int) -> None:
        """End a job; what was not sent is not sent."""
        task = self._tasks[number]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.jobs[number].finished = True

    async def forget(self) -> None:
        """End every job and forget all of them and what was acknowledged."""
        for number in range(len(self.jobs)):
            await self.stop(number)
        self.jobs.clear()
        self._tasks.clear()
        self.acknowledged.clear()

    async def close(self) -> None:
        """End every job."""
        for number in range(len(self.jobs)):
            await self.stop(number)
        self.acknowledged.close()
