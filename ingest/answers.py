"""What a sender is told that gets no 200: a status, what is wrong, and what to do about it. Never what it sent.

5xx, 408 and 499 mean "I could not tell": the same request may be taken later, and Meta sends it again for 36 hours. The
other 4xx mean "this can never be taken as it is".
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import orjson
from aiohttp import web

from ingest.meta.webhook import SIGNATURE_HEADER, FlatLead, Unreadable, Unsigned

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    error: str
    do: str

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, content_type=_JSON, headers=self.headers)

    @property
    def body(self) -> bytes:
        return orjson.dumps({"error": self.error, "do": self.do})

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)} if self.status == _UNAVAILABLE else {}


def on_the_wire(answer: Answer | None, *, last: bool) -> bytes:
    """What a sender is told as bytes; None is the 200. `last` says that nothing more is read of this connection."""
    if answer is None:
        return _accepted(int(time.time()), last)
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    return _wire(status, {"Content-Type": _JSON, **answer.headers}, answer.body, last=last)


@lru_cache(maxsize=2)
def _accepted(_second: int, last: bool) -> bytes:
    return _wire("200 OK", {}, b"", last=last)


def _wire(status: str, headers: Mapping[str, str], body: bytes, *, last: bool) -> bytes:
    said = {**headers, "Content-Length": str(len(body)), "Date": formatdate(usegmt=True)}
    said |= {"Connection": "close"} if last else {}
    return "\r\n".join((f"HTTP/1.1 {status}", *map(": ".join, said.items()), "", "")).encode() + body


class Refused(Exception):
    """Ends a delivery with an answer that is no 200; the text is a word from a closed list, for the log."""

    def __init__(self, answer: Answer, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer


_UNAVAILABLE = 503
_JSON = "application/json"
_SUBSCRIBE = "subscribe the page to the leadgen field of an app instead"

NOT_VERIFIED = Answer(
    status=403,
    error="this is no verification of ours",
    do="in the app dashboard, enter the value of META_VERIFY_TOKEN as the verify token and verify again",
)
UNSIGNED = Answer(
    status=401,
    error="no app secret of ours signed this body",
    do=f"sign the body's bytes with an app secret that META_APP_SECRETS holds and send {SIGNATURE_HEADER}; "
    f"the CRM setup of Business Suite does not sign and is not taken: {_SUBSCRIBE}",
)
ENCODED = Answer(
    status=415,
    error="the body is compressed",
    do="send it without Content-Encoding, as Meta does",
)
TOO_LARGE = Answer(
    status=413,
    error="the body is larger than INGEST_MAX_BODY",
    do="send fewer changes in one POST; Meta sends 1000 at most, about 300 kB",
)
UNREADABLE = Answer(
    status=400,
    error="the body is no delivery of Meta's webhook",
    do='send UTF-8 JSON of the form {"object":"page","entry":[{"id":"...","time":0,"changes":[]}]}',
)
FLAT = Answer(
    status=422,
    error="this is a lead in the flat shape of Business Suite's CRM setup, which holds no page to fetch it with",
    do=f"remove that setup and {_SUBSCRIBE}",
)
TOO_SLOW = Answer(status=408, error="the body took too long", do="send it again, faster")
GONE = Answer(status=499, error="the body ended too early", do="send it again, whole")
SATURATED = Answer(status=503, error="too much is being taken in at once", do="send it again later")
NOT_ACKNOWLEDGED = Answer(status=503, error="Kafka has not acknowledged it", do="send it again later")
DEFECT = Answer(status=500, error="a defect of ours", do="send it again later")

WHY = {Unsigned: UNSIGNED, Unreadable: UNREADABLE, FlatLead: FLAT}
STATUSES = (200, 400, 401, 408, 413, 415, 422, 499, 500, 503)
