"""The webhook's two views: the handshake, and a delivery that is not as plain as `connection.py` takes it."""

import asyncio

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from ingest import answers, door, telemetry
from ingest.answers import Answer, Refused
from ingest.door import Door
from ingest.meta.webhook import SIGNATURE_HEADER, NotVerified, Unsigned, handshake, signature


class Views:
    """What aiohttp's ordinary server answers with."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handshake(self, request: web.Request) -> web.Response:
        """GET: Meta verifies the callback URL."""
        try:
            challenge = handshake(request.query, self._door.verify_token)
        except NotVerified as refused:
            self._door.tell("warning", "door.refused", str(refused))
            return answers.NOT_VERIFIED.response()
        telemetry.log("info", "door.verified")
        # A stranger's words: as text that no browser takes for anything else.
        return web.Response(text=challenge, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    async def delivery(self, request: web.Request) -> web.Response:
        """POST: Meta delivers changes."""
        try:
            answer = await self._take(request)
        except (Refused, Unsigned) as refused:
            answer = self._door.refuse(refused)
        except Exception as defect:  # noqa: BLE001  told by name and place only, and Meta sends again
            answer = self._door.fail(defect)
        return web.Response() if answer is None else answer.response()

    async def _take(self, request: web.Request) -> Answer | None:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(answers.ENCODED, "encoded")
        claimed = signature(request.headers.get(SIGNATURE_HEADER))
        self._door.admit(request.content_length)
        chunks: list[bytes] = []
        try:
            await self._receive(request, chunks)
        except BaseException:
            self._door.left(sum(map(len, chunks)))
            raise
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._door.take(claimed, b"".join(chunks), answered.set_result)
        return await asyncio.shield(answered)  # the door answers, whoever has gone meanwhile

    async def _receive(self, request: web.Request, chunks: list[bytes]) -> None:
        size = 0
        try:
            async with asyncio.timeout(door.BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    self._door.arrived(len(chunk), size=size)
        except TimeoutError:
            raise Refused(answers.TOO_SLOW, "too-slow") from None
        except (ConnectionError, RequestPayloadError):
            raise Refused(answers.GONE, "gone") from None
