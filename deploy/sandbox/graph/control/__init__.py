"""The admin interface, server's side: one verb each under `/_admin/`, JSON in and JSON out. admin.py is its client."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from deploy.sandbox.graph.control.delivery import DeliveryVerbs
from deploy.sandbox.graph.control.lookup import UnknownObjectError
from deploy.sandbox.graph.control.trouble import TroubleVerbs
from deploy.sandbox.graph.control.world import WorldVerbs
from deploy.sandbox.graph.courier import Courier
from deploy.sandbox.graph.graph import Graph

# Any: the arguments of a verb are checked by calling it; both ends are ours and are tested together.
Verb = Callable[..., Awaitable[Any]]


class Control:
    """Answers the admin: every public method of the three groups is a verb."""

    def __init__(self, graph: Graph, directory: Path) -> None:
        self._courier = Courier(graph.state, directory)
        graph.announce = self._courier.announce
        groups = (WorldVerbs(graph, self._courier), DeliveryVerbs(graph, self._courier), TroubleVerbs(graph))
        self._verbs: dict[str, Verb] = {
            name: getattr(group, name) for group in groups for name in dir(group) if not name.startswith("_")
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request of the admin."""
        verb = self._verbs.get(request.path.removeprefix("/_admin/"))
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            return web.json_response({"error": f"no such verb; there are: {known}"}, status=404)
        try:
            result = await verb(**orjson.loads(await request.read() or b"{}"))
        except (UnknownObjectError, LookupError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error) or repr(error)}, status=400)
        return web.Response(body=orjson.dumps(result), content_type="application/json")

    async def close(self) -> None:
        """End deliveries."""
        await self._courier.close()
