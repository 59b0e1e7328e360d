"""The double on a socket: HTTP in, calls out, answers back."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from multidict import CIMultiDict

from deploy.sandbox.graph.call import Answer, Call
from deploy.sandbox.graph.control import Control
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.versions import served_version
from deploy.sandbox.graph.world import DEFAULT_PAGES, DEFAULT_SEED

DEFAULT_HISTORY = 12
MAX_BODY = 32 * 2**20


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
        return await self._call(request, path)

    async def _call(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        segments = [segment for segment in path.split("/") if segment]
        requested = segments.pop(0) if segments and _is_version(segments[0]) else None
        version = served_version(requested, self._graph.state.now())
        params = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
        if request.can_read_body:
            params |= await _body_params(request)
        token = params.pop("access_token", None) or _bearer(request)
        call = Call(
            method=params.pop("method", request.method).upper(),
            path=tuple(segments),
            params=params,
            token=token,
            version=version,
            base=f"{request.scheme}://{request.host}/{version}",
        )
        answer = await self._graph.answer(call)
        return _response(answer, version)


def _response(answer: Answer, version: str) -> web.Response:
    headers = CIMultiDict(answer.headers)
    headers["facebook-api-version"] = version
    headers["Content-Type"] = f"{answer.content_type}; charset=UTF-8"
    return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)


def _is_version(segment: str) -> bool:
    return segment[0] == "v" and segment[1:2].isdigit()


def _bearer(request: web.BaseRequest) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind in ("Bearer", "OAuth") else None


async def _body_params(request: web.BaseRequest) -> dict[str, str]:
    if request.content_type == "application/json":
        fields = orjson.loads(await request.read() or b"{}")
        return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}
    if request.content_type == "multipart/form-data":
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))


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
        _, bound = runner.addresses[0][:2]
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
