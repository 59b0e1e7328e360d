"""The double on a socket: HTTP in, calls out, answers back, however an answer has to break."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from multidict import CIMultiDict

from deploy.sandbox.graph.batch import answer_batch
from deploy.sandbox.graph.call import Answer, Call, refused
from deploy.sandbox.graph.control import Control
from deploy.sandbox.graph.errors import RefusedError, bad_parameter
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.versions import is_version, served_version
from deploy.sandbox.graph.world import DEFAULT_PAGES, DEFAULT_SEED

DEFAULT_HISTORY = 12
FOREVER = 10**6


class Service:
    """Answers requests for one Graph."""

    def __init__(self, graph: Graph, control: Control) -> None:
        self._graph = graph
        self._control = control

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request."""
        path = request.path
        if path.startswith("/_admin/"):
            return await self._control.handle(request)
        segments = [segment for segment in path.split("/") if segment]
        requested = segments.pop(0) if segments and is_version(segments[0]) else None
        now = self._graph.state.now()
        version = served_version(requested, now)
        try:
            call = await _read_call(request, tuple(segments), version)
        except RefusedError as error:
            answer = refused(error.refusal)
        else:
            answer = await self._answer(call)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        answer.headers.setdefault("facebook-api-version", version)
        answer.headers["date"] = formatdate(now, usegmt=True)
        return await _respond(request, answer)

    async def _answer(self, call: Call) -> Answer:
        if call.path or "batch" not in call.params:
            return await self._graph.answer(call)
        return await answer_batch(self._graph, call)


async def _read_call(request: web.BaseRequest, path: tuple[str, ...], version: str) -> Call:
    """The token may stand in query, body or Authorization header; a parameter `method` overrides the verb."""
    query = request.rel_url.raw_query_string
    params = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    if request.can_read_body:
        params |= await _body_params(request)
    token = params.pop("access_token", None) or _bearer(request)
    return Call(
        method=params.pop("method", request.method).upper(),
        path=path,
        params=params,
        token=token,
        version=version,
        base=f"{request.scheme}://{request.host}/{version}",
    )


async def _body_params(request: web.BaseRequest) -> dict[str, str]:
    if request.content_type == "multipart/form-data":
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    body = await request.read()
    if request.content_type != "application/json":
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        posted = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        posted = None
    if not isinstance(posted, dict):
        raise bad_parameter("The body is not a JSON object")
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in posted.items()}


def _bearer(request: web.BaseRequest) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind in ("Bearer", "OAuth") else None


async def _respond(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    headers = CIMultiDict(answer.headers)
    headers["Content-Type"] = f"{answer.content_type}; charset=UTF-8"
    headers["x-fb-trace-id"] = secrets.token_urlsafe(8)
    headers["Cache-Control"] = "private, no-cache, no-store, must-revalidate"
    body = answer.body.encode()
    match answer.breaks:
        case "hang" | "null":
            await asyncio.sleep(FOREVER)
        case "reset":
            if request.transport is not None:
                request.transport.abort()
        case "short":
            response = web.StreamResponse(status=answer.status, headers=headers)
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        case None:
            pass
    return web.Response(status=answer.status or 500, body=body, headers=headers)


@asynccontextmanager
async def running(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = DEFAULT_SEED,
    pages: int = DEFAULT_PAGES,
    history: int = DEFAULT_HISTORY,
) -> AsyncIterator[str]:
    """The double in this event loop, at the URL given; port 0 takes a free one."""
    state = State(directory, seed=seed, pages=pages, history=history)
    graph = Graph(state)
    control = Control(graph, directory)
    service = Service(graph, control)
    runner = web.ServerRunner(web.Server(service.handle, access_log=None), shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound = runner.addresses[0][1]
        yield f"http://{host}:{bound}"
    finally:
        await control.close()
        await runner.cleanup()
        state.close()


async def serve(directory: Path, *, host: str, port: int, seed: int, pages: int, history: int) -> None:
    """Run until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(directory, host=host, port=port, seed=seed, pages=pages, history=history) as url:
        print(f"Graph double at {url}", flush=True)  # noqa: T201 - the one line that says where it listens
        await ended.wait()
