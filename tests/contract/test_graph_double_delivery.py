"""The Graph double delivers as Meta does: every lead, signed, again and again until it is answered 200."""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.sandbox.graph.courier import Courier
from deploy.sandbox.graph.deliver import Job, Order
from deploy.sandbox.graph.ids import lead_id
from deploy.sandbox.graph.state import State

Reply = Callable[[int, bytes], int]
"""What the webhook answers to its n-th POST: a status, or 0 to drop the connection."""


class Webhook:
    """Keeps every POST and answers as told."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.url = ""
        self.posts: list[tuple[bytes, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.posts.append((body, request.headers.get("X-Hub-Signature-256", "")))
        status = self.reply(len(self.posts), body)
        if status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 500)

    def leads(self) -> Counter[str]:
        """How often each lead was announced, over all POSTs."""
        return Counter(
            str(change["value"]["leadgen_id"])
            for body, _ in self.posts
            for entry in json.loads(body)["entry"]
            for change in entry["changes"]
        )


class Setting:
    """A courier, a webhook, and the state they share."""

    def __init__(self, state: State, courier: Courier, webhook: Webhook) -> None:
        self.state, self.courier, self.webhook = state, courier, webhook

    def order(self, leads: int, **how: Any) -> Order:
        return Order(url=self.webhook.url, leads=leads, forms=how.pop("forms", range(8)), time_scale=0.0001, **how)

    async def deliver(self, leads: int, **how: Any) -> Job:
        job = self.courier.start(self.order(leads, **how))
        await self.courier.finish(job.number)
        assert job.failure is None
        return job


@asynccontextmanager
async def setting(directory: Path, reply: Reply = lambda _, __: 200) -> AsyncIterator[Setting]:
    state, webhook = State(directory, seed=1, pages=3, history=0), Webhook(reply)
    courier = Courier(state, directory)
    app = web.Application()
    app.router.add_post("/webhook", webhook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
    try:
        yield Setting(state, courier, webhook)
    finally:
        await courier.close()
        await runner.cleanup()
        state.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, timeout=20))


def test_every_lead_is_announced_once_signed_and_acknowledged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            job = await at.deliver(100, changes_per_post=7)
            assert set(at.webhook.leads().values()) == {1}
            assert set(map(int, at.webhook.leads())) == at.courier.acknowledged.leads
            progress = job.progress()
            assert (progress.made, progress.announced, progress.acknowledged) == (100, 100, 100)
            assert progress.answers == {"200": progress.posts}
            secret = at.state.world.app.secret.encode()
            for body, signature in at.webhook.posts:
                assert signature == "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()

    run(scenario())


def test_a_post_holds_as_many_changes_and_pages_as_chosen(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            await at.deliver(120, changes_per_post=40, pages_per_post=3)
            bodies = [json.loads(body) for body, _ in at.webhook.posts]
            assert [sum(len(entry["changes"]) for entry in body["entry"]) for body in bodies] == [40, 40, 40]
            assert {len(body["entry"]) for body in bodies} == {3}
            at.webhook.posts.clear()
            await at.deliver(120, changes_per_post=1000)
            assert len(at.webhook.posts) == 3, "one for each page"

    run(scenario())


def test_what_is_not_answered_200_comes_again_with_the_same_bytes(tmp_path: Path) -> None:
    async def scenario() -> None:
        answers = iter([500, 0, 301, 401, 503])
        async with setting(tmp_path, lambda _, __: next(answers, 200)) as at:
            job = await at.deliver(1, forms=[0])
            assert len({body for body, _ in at.webhook.posts}) == 1
            (post,) = job.report()
            assert post.statuses == ["500", "connection", "301", "401", "503", "200"]
            assert post.acknowledged

    run(scenario())


def test_a_post_is_given_up_after_the_horizon_and_never_acknowledged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path, lambda _, __: 503) as at:
            job = await at.deliver(5, give_up=0)
            assert job.progress().posts_given_up == 5
            assert job.progress().posts_open == 0
            assert at.courier.acknowledged.leads == set()
            assert [post.statuses for post in job.report()] == [["503", "503"]] * 5, "the repetition at once is made"

    run(scenario())


def test_nobody_listening_is_a_connection_error_that_is_repeated(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            order = Order(url="http://127.0.0.1:1/", leads=1, forms=[0], give_up=0)
            job = at.courier.start(order)
            await at.courier.finish(job.number)
            assert job.answers == {"connection": 2}

    run(scenario())


def test_duplicates_are_announced_again_and_dropped_leads_never(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            job = await at.deliver(400, duplicates=0.25, dropped=0.25, shuffle=True, changes_per_post=10)
            announced = at.webhook.leads()
            assert 240 < len(announced) < 360
            assert job.announced == len(announced)
            assert 30 < sum(times == 2 for times in announced.values()) < 130
            assert set(announced.values()) <= {1, 2}
            made = {lead_id(form, n) for form in range(8) for n in range(at.state.leads_of(form).count)}
            assert len(made) == 400
            assert announced.keys() < made

    run(scenario())


def test_a_shuffled_delivery_is_not_in_the_order_of_making(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            await at.deliver(50, forms=[0], concurrency=1)
            in_order = [lead_id(0, n) for n in range(50)]
            assert list(at.webhook.leads()) == in_order
            at.webhook.posts.clear()
            await at.deliver(50, forms=[1], concurrency=1, shuffle=True)
            assert list(at.webhook.leads()) != [lead_id(1, n) for n in range(50)]

    run(scenario())


def test_a_rate_spaces_the_leads(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            loop = asyncio.get_running_loop()
            started = loop.time()
            await at.deliver(11, rate=200)
            assert loop.time() - started >= 10 / 200

    run(scenario())


def test_a_lead_cannot_be_read_while_its_race_lasts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            await at.deliver(1, forms=[0], race=3600)
            assert at.state.readable_lead(lead_id(0, 0)) is None
            await at.deliver(1, forms=[0])
            assert at.state.readable_lead(lead_id(0, 1)) is not None

    run(scenario())


def test_what_was_acknowledged_is_known_after_a_crash(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            await at.deliver(30, changes_per_post=4)
            again = Courier(at.state, tmp_path)
            assert again.acknowledged.leads == at.courier.acknowledged.leads != set()
            await again.close()

    run(scenario())


def test_a_crafted_post_is_sent_once_whatever_is_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path, lambda _, body: 200 if b"leadgen_update" in body else 401) as at:
            refused = await at.courier.send(at.webhook.url, "unsigned", 0, field="feed")
            assert (refused.status, len(refused.leads)) == ("401", 1)
            taken = await at.courier.send(at.webhook.url, "leadgen_update", 0, field="feed")
            assert taken.status == "200"
            assert len(at.webhook.posts) == 2
            assert at.courier.acknowledged.leads == set(), "an update announces no lead"

    run(scenario())


def test_a_stopped_delivery_sends_nothing_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with setting(tmp_path) as at:
            job = at.courier.start(at.order(1000, rate=100))
            while not at.webhook.posts:  # noqa: ASYNC110 - until the first POST has come
                await asyncio.sleep(0.001)
            await at.courier.stop(job.number)
            sent = len(at.webhook.posts)
            assert job.progress().finished
            await asyncio.sleep(0.03)
            assert len(at.webhook.posts) - sent <= 1, "at most the one under way"

    run(scenario())
