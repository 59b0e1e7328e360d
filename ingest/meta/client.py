"""The Graph API over aiohttp: one call, one answer or one GraphError. It never tries again: its callers own the policy.

A page's token travels in the Authorization header or in a POST's body, never in a URL. No error raised here carries a
token or chains one that does: aiohttp's exceptions hold the whole request.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache, lru_cache
from http import HTTPStatus
from time import perf_counter
from types import TracebackType
from typing import Literal

import aiohttp
from pydantic import SecretStr

from ingest import telemetry
from ingest.meta import graph
from ingest.meta.errors import BadAsk, GraphError, Reason, Unavailable
from ingest.meta.graph import Answer, Ask, Key, Page
from ingest.meta.pages import PageAccess
from ingest.settings import MetaSettings

TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)  # seconds
# A file of any length may take any time, as long as something comes; before the first byte Meta puts it together.
FILE_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
NODE_BYTES = 2 * 2**20  # bytes, decompressed; a lead is a few kB, a form with hundreds of options some 100 kB
MANY_BYTES = 16 * 2**20  # of a batch, or of a page's forms
KEYS = 20_000  # of pages, that are kept

AskName = Literal[
    "lead",
    "form",
    "forms",
    "leads",
    "leads-batch",
    "lead-access",
    "token",
    "health",
    "exchange",
    "accounts",
    "page",
    "subscription",
    "test-lead",
    "export",
]


class GraphClient:
    """Asks Meta on behalf of pages. The session, and with it the connections, is the caller's and outlives the client.

    Give the session a `DummyCookieJar`: nothing that Meta sets should tie one page's calls to another's.
    """

    def __init__(
        self, session: aiohttp.ClientSession, settings: MetaSettings, *, timeout: aiohttp.ClientTimeout = TIMEOUT
    ) -> None:
        self._session = session
        self._settings = settings
        self._timeout = timeout
        self._base = f"{settings.meta_graph_url.rstrip('/')}/{settings.meta_api_version}/"
        self._keys = lru_cache(maxsize=KEYS)(self._key)
        self._versions_told = {settings.meta_api_version}

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str] = graph.LEAD_FIELDS) -> Answer:
        """The lead's node with `fields`; GraphError otherwise, and BadAsk without a call where `lead_id` is no id."""
        return await self.ask("lead", graph.ask_lead(lead_id, fields), self.key(page))

    async def form(self, form_id: str, page: PageAccess, *, fields: Sequence[str] = graph.FORM_FIELDS) -> Answer:
        """The form's node, without counters unless `fields` has them; GraphError otherwise."""
        return await self.ask("form", graph.ask_form(form_id, fields), self.key(page))

    async def forms(self, page: PageAccess, after: str | None = None, *, limit: int = graph.FORMS_AT_ONCE) -> Page:
        """Up to `limit` of the page's forms, each as `form` gives it, from the first or from `Page.after` on.

        GraphError otherwise.
        """
        ask = graph.ask_forms(page.page_id, after, limit=limit)
        return graph.read_page(await self.ask("forms", ask, self.key(page), MANY_BYTES))

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str] = graph.LEAD_FIELDS
    ) -> tuple[Answer | GraphError, ...]:
        """Up to graph.BATCH_SIZE leads, of any pages, in one POST: what became of each, in their order.

        Meta counts every item as a call. GraphError where the batch as a whole failed.
        """
        asks = [(graph.ask_lead(lead_id, fields), self.key(page)) for lead_id, page in wanted]
        return await self.ask_many("leads-batch", asks)

    async def leads_are_readable(self, page: PageAccess) -> bool | None:
        """Whether the page's token may read its leads; None where Meta does not say. GraphError otherwise."""
        return graph.read_lead_access(
            await self.ask("lead-access", graph.ask_lead_access(page.page_id), self.key(page))
        )

    async def token_is_valid(self, page: PageAccess) -> bool | None:
        """Whether the page's token is, without using it; None where its app is not known, or Meta does not say.

        GraphError otherwise.
        """
        secret = self._settings.secret_of(page.app_id)
        if page.app_id is None or secret is None:
            return None
        return graph.read_token(await self.inspect(page.token, graph.app_key(page.app_id, secret)))

    async def inspect(self, token: SecretStr, key: Key) -> Answer:
        """What Meta says of a token, to its app or to a developer of that app; GraphError otherwise.

        Asked in a batch: the token is a parameter, and those of a batch travel in a body.
        """
        [item] = await self.ask_many("token", [(graph.ask_token(token), key)])
        if isinstance(item, GraphError):
            raise item
        return item

    async def ask_many(
        self, name: AskName, asks: Sequence[tuple[Ask, Key]], *, opened_by: Key | None = None
    ) -> tuple[Answer | GraphError, ...]:
        """Up to graph.BATCH_SIZE asks in one POST, whose parameters travel in its body: what became of each.

        Meta counts every item as a call. `opened_by` opens the POST itself, else the first one's key does. GraphError
        where the batch as a whole failed.
        """
        with _measured(name):
            received = await _receive(
                self._session.post(
                    self._base,
                    data=graph.ask_batch(asks, opened_by=opened_by).encode(),
                    headers={"Content-Type": graph.FORM_TYPE},
                    timeout=self._timeout,
                    allow_redirects=False,
                ),
                MANY_BYTES,
            )
            items = graph.read_batch(*received, [ask for ask, _ in asks])
        for item in items:
            if isinstance(item, Answer):
                self._tell_version(item)
        return items

    async def ask(self, name: AskName, ask: Ask, key: Key, most: int = NODE_BYTES) -> Answer:
        """What Meta answers, of at most so many bytes, to whatever `ask` says; GraphError otherwise."""
        parameters = [*ask.params, *key.proof()]
        in_body = ask.method == "POST"
        with _measured(name):
            received = await _receive(
                self._session.request(
                    ask.method,
                    f"{self._base}{ask.path}",
                    params=None if in_body else parameters,
                    data=parameters if in_body else None,
                    # Meta's pages show a parameter; the header works too (restfb#1107, huandu/facebook#205).
                    headers={"Authorization": f"Bearer {key.token.get_secret_value()}"},
                    timeout=self._timeout,
                    allow_redirects=False,
                ),
                most,
            )
            answer = graph.read_answer(*received, about=ask.about)
        self._tell_version(answer)
        return answer

    @asynccontextmanager
    async def download(self, ask: Ask, key: Key) -> AsyncIterator[AsyncIterator[bytes]]:
        """The file that `ask` is for, from META_EXPORT_URL, in pieces as they come; it may also be a page of HTML.

        GraphError where Meta says anything in JSON or with another status, and, while it comes, where it ends early.
        """
        with _measured("export"):
            response, head = await _begin(
                self._session.get(
                    self._settings.meta_export_url,
                    params=[*ask.params, *key.proof()],
                    headers={"Authorization": f"Bearer {key.token.get_secret_value()}"},
                    timeout=FILE_TIMEOUT,
                    allow_redirects=False,
                )
            )
            try:
                yield _pieces(head, response)
            finally:
                response.close()

    def key(self, page: PageAccess) -> Key:
        """What opens the page."""
        return self._keys(page)

    def key_of_app(self, app_id: str | None) -> Key | None:
        """What opens an app; None where the app is not known, or its secret is not."""
        secret = self._settings.secret_of(app_id)
        return None if app_id is None or secret is None else graph.app_key(app_id, secret)

    def _key(self, page: PageAccess) -> Key:
        return Key(token=page.token, secret=self._settings.secret_of(page.app_id))

    def _tell_version(self, answer: Answer) -> None:
        if answer.version is not None and answer.version not in self._versions_told:
            self._versions_told.add(answer.version)
            telemetry.log("warning", "graph.version", asked=self._settings.meta_api_version, served=answer.version)


async def _receive(
    request: AbstractAsyncContextManager[aiohttp.ClientResponse], limit: int
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and the whole body; Unavailable, or BadAsk for an answer beyond `limit`, otherwise."""
    failed: Reason
    try:
        async with request as response:
            body = await _read_up_to(limit, response)
            if body is None:
                failed = "too-large"
            elif 300 <= response.status < 400:  # noqa: PLR2004  HTTP's own boundaries
                failed = "redirected"
            else:
                return response.status, response.headers, body
    except TimeoutError:
        failed = "timeout"
    except aiohttp.ClientPayloadError:
        failed = "truncated"
    except (aiohttp.ClientError, OSError):
        failed = "no-connection"
    # Raised out here, where aiohttp's exception is no context of ours.
    if failed == "too-large":  # and so will the next answer be
        raise BadAsk(failed)
    raise Unavailable(failed)


async def _begin(request: Awaitable[aiohttp.ClientResponse]) -> tuple[aiohttp.ClientResponse, bytes]:
    """The answer that is a file, and its first bytes."""
    failed: Reason = "redirected"
    rest: bytes | None = b""
    try:
        response = await request
        head = await response.content.readany()
        # JSON is a refusal, and so are these words (facebook_business, FacebookResponse.is_success).
        if response.status == HTTPStatus.OK and not head.lstrip().startswith((b"{", b"Service Unavailable")):
            return response, head
        rest = await _read_up_to(NODE_BYTES, response)
        response.close()
    except TimeoutError:
        failed = "timeout"
    except aiohttp.ClientPayloadError:
        failed = "truncated"
    except (aiohttp.ClientError, OSError):
        failed = "no-connection"
    else:
        if not 300 <= response.status < 400 and rest is not None:  # noqa: PLR2004  HTTP's own boundaries
            graph.read_answer(response.status, response.headers, head + rest)
            failed = "not-an-object"  # JSON, and no refusal: no file either
    raise Unavailable(failed)  # out here, where aiohttp's exception is no context of ours


async def _pieces(head: bytes, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    failed: Reason | None = None
    yield head
    try:
        async for piece in response.content.iter_any():
            yield piece
    except TimeoutError:
        failed = "timeout"
    except (aiohttp.ClientError, OSError):
        failed = "truncated"
    if failed is not None:
        raise Unavailable(failed)


async def _read_up_to(limit: int, response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            return None
    return bytes(body)


class _measured:  # noqa: N801  read as the word it is; a generator would take twice as long as what it measures with
    """Counts a call, and how long it took, by how it ended."""

    __slots__ = ("_began", "_name")

    def __init__(self, name: AskName) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        _seconds(self._name).observe(perf_counter() - self._began)
        if error is None:
            _calls(self._name, "answered").inc()
        elif isinstance(error, GraphError):
            _calls(self._name, error.reason).inc()


_seconds = cache(telemetry.GRAPH_SECONDS.labels)  # finding a metric's child takes as long as counting with it
_calls = cache(telemetry.GRAPH_CALLS.labels)
