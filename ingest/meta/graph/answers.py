"""How to read what Meta says: whatever bytes arrive, an Answer comes of them, or a GraphError. Performs no I/O.

An answer is kept exactly as Meta wrote it; what is read out of it stands beside it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache

from ingest.meta.errors import GraphError, Reason, Unavailable, refusal
from ingest.meta.graph.asks import Ask
from ingest.meta.graph.text import Json, JsonObject, decode, encodable, parse, read_envelope
from ingest.meta.graph.usage import USAGE_HEADERS, Usage, read_usage

_COMMON = frozenset({"date", "facebook-api-version"})
_READ = _COMMON | USAGE_HEADERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Meta said. `body` is its text, unchanged: `body.encode()` are the bytes. Never shown: it holds answers."""

    body: str = field(repr=False)
    parsed: JsonObject = field(repr=False)
    version: str | None  # that served it, which need not be the one that was asked
    usage: Usage
    date: int | None = None  # Meta's clock, in unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of an edge. `after` asks for the next; None is the end."""

    items: tuple[JsonObject, ...] = field(repr=False)
    after: str | None
    usage: Usage


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, about: str | None = None) -> Answer:
    """The node in an HTTP answer, and GraphError for everything else. `about` is the id it must have."""
    return _read(status, _lower(headers), decode(body), about)


def read_batch(
    status: int, headers: Mapping[str, str], body: bytes, asks: Sequence[Ask]
) -> tuple[Answer | GraphError, ...]:
    """What became of each ask, in their order; GraphError when the batch as a whole failed.

    An item that Meta left out (null, when it ran out of time) is Unavailable("not-answered"): ask it again.
    """
    items = read_envelope(body)
    if not 200 <= status < 300 or not isinstance(items, list):  # noqa: PLR2004  HTTP's own boundaries
        read_answer(status, headers, body)  # raises what it can name; a good answer that is no list is none
        raise Unavailable("not-an-object", http_status=status)
    if len(items) != len(asks):  # then their order tells nothing
        raise Unavailable("not-an-object", http_status=status)
    # An item need not say what its batch does.
    common = {name: value for name, value in _lower(headers).items() if name in _COMMON}
    outcomes = []
    said: Json = None
    told = common
    for item, ask in zip(items, asks, strict=True):
        found = item.get("headers") if isinstance(item, dict) else None
        if not _same(found, said):  # those of one page nearly always say the same
            said, told = found, {**common, **_item_headers(found)}
        outcomes.append(_read_item(item, ask, told))
    return tuple(outcomes)


def read_page(answer: Answer) -> Page:
    """The elements of an edge, and the cursor behind them; Unavailable where it is none.

    The end is where `next` is missing: `after` is there on the last page too (facebook_business, Cursor). The URL in
    `next` holds the token and is not kept.
    """
    data, paging = answer.parsed.get("data"), answer.parsed.get("paging")
    items = tuple(item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()
    if not isinstance(data, list) or len(items) != len(data):
        raise Unavailable("not-an-object")
    if not isinstance(paging, dict) or paging.get("next") is None:
        return Page(items=items, after=None, usage=answer.usage)
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:  # there is more, and no way to it
        raise Unavailable("not-an-object")
    return Page(items=items, after=after, usage=answer.usage)


def _read(status: int, told: Mapping[str, str], text: str | None, about: str | None) -> Answer:
    """`told` is the headers by lower-cased name."""
    usage = read_usage(told)
    parsed = parse(text)
    if isinstance(parsed, dict) and isinstance(envelope := parsed.get("error"), dict):
        raise refusal(envelope, status, usage.regain_after(envelope.get("code")))
    if status >= 500:  # noqa: PLR2004  HTTP's own boundary
        raise Unavailable("server-error", http_status=status)
    if text is None or parsed is None:
        raise Unavailable(_no_json(text), http_status=status)
    if not 200 <= status < 300:  # noqa: PLR2004  HTTP's own boundaries
        raise Unavailable("no-envelope", http_status=status)
    # The SDK takes a 200 with either key for a failure (facebook_business, FacebookResponse.is_success).
    if not isinstance(parsed, dict) or "error" in parsed or "Service Unavailable" in parsed:
        raise Unavailable("not-an-object", http_status=status)
    if about is not None and _id(parsed) != about:
        raise Unavailable("another-object", http_status=status)
    return Answer(
        body=text,
        parsed=parsed,
        version=_version(told.get("facebook-api-version")),
        usage=usage,
        date=_date(told.get("date")),
    )


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _no_json(text: str | None) -> Reason:
    if text is None:
        return "not-utf8"
    return "not-json" if text.strip() else "empty"


def _id(node: JsonObject) -> str | None:
    found = node.get("id")
    return str(found) if isinstance(found, str | int) else None


@lru_cache(maxsize=16)
def _version(told: str | None) -> str | None:
    return told if re.fullmatch(r"v[0-9]{1,3}\.[0-9]{1,3}", told or "") else None


@lru_cache(maxsize=16)  # every answer of one second tells the same one
def _date(told: str | None) -> int | None:
    try:
        return None if told is None else round(parsedate_to_datetime(told).timestamp())
    except (ValueError, OverflowError):
        return None


def _same(headers: Json, others: Json) -> bool:
    try:
        return headers == others
    except RecursionError:  # nested a thousand deep: nothing that Meta would answer
        return False


def _read_item(item: Json, ask: Ask, told: Mapping[str, str]) -> Answer | GraphError:
    if item is None:
        return Unavailable("not-answered")
    status, body = (item.get("code"), item.get("body")) if isinstance(item, dict) else (None, None)
    if not isinstance(item, dict) or not isinstance(status, int) or not isinstance(body, str):
        return Unavailable("not-an-object")
    try:
        return _read(status, told, encodable(body), ask.about)
    except GraphError as error:
        return error


def _item_headers(headers: Json) -> dict[str, str]:
    """What is read of a batch item's headers, which come as a list of `{name, value}`, by lower-cased name."""
    told = {}
    for pair in headers if isinstance(headers, list) else ():
        name, value = (pair.get("name"), pair.get("value")) if isinstance(pair, dict) else (None, None)
        if isinstance(name, str) and isinstance(value, str) and (known := name.lower()) in _READ:
            told[known] = value
    return told
