"""The part of Kafka Connect's REST API that tells what failed and restarts it.

The trace of a failed task may quote a record, and so a person's answers: of it only names of Java classes leave here.
Source: https://kafka.apache.org/documentation/#connect_rest
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

_PATIENCE = aiohttp.ClientTimeout(total=10)  # seconds; a parent that stops us waits for 30
_CAUSE = re.compile(r"^(?:Caused by: )?((?:[a-z][a-z0-9_]*\.){2,}[A-Z]\w*)", re.ASCII | re.MULTILINE)


class Unreachable(Exception):
    """Kafka Connect does not answer, or not as Connect does; the text names no URL, which may hold a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """One connector as it is now: how many of it and its tasks have failed, and the class of what the first of them
    failed with ("" where none is told).
    """

    name: str
    failed: int
    error: str = ""


class _Worker(BaseModel):
    state: str
    trace: str = ""


class _Status(BaseModel):
    connector: _Worker
    tasks: list[_Worker]


class _Expanded(BaseModel):
    status: _Status


_ANSWER = TypeAdapter(dict[str, _Expanded])


class Connect:
    """A cluster of workers, reached through any of them."""

    def __init__(self, url: str, *, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    async def connectors(self) -> list[Connector]:
        """All of them, by name. `Unreachable` when nobody tells."""
        body = await self._ask("GET", "/connectors?expand=status")
        try:
            answer = _ANSWER.validate_json(body)
        except ValidationError:
            raise Unreachable("what answers there is not Kafka Connect") from None  # the error would quote a trace
        return [_connector(name, answer[name].status) for name in sorted(answer)]

    async def restart(self, name: str) -> None:
        """Restart what has failed of a connector, and nothing else. `Unreachable` when it was not taken up."""
        await self._ask("POST", f"/connectors/{quote(name, safe='')}/restart?includeTasks=true&onlyFailed=true")

    async def _ask(self, method: str, path: str) -> bytes:
        try:
            async with self._session.request(
                method,
                self._url + path,
                headers={"Content-Type": "application/json"},  # without it a POST is refused with 500
                timeout=_PATIENCE,
                allow_redirects=False,  # a password in the URL is for this host only
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"Kafka Connect does not answer ({type(error).__name__})") from None
        if response.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT}:
            raise Unreachable(f"Kafka Connect answers {response.status}")
        return body


def _connector(name: str, status: _Status) -> Connector:
    failed = [worker for worker in (status.connector, *status.tasks) if worker.state == "FAILED"]
    causes = [cause for worker in failed[:1] for cause in _CAUSE.findall(worker.trace)]
    return Connector(name=name, failed=len(failed), error=causes[-1] if causes else "")
