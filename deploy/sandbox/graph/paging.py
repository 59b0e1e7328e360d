"""Cursor paging: where a page starts and ends, and the `paging` that leads to its neighbours.

`paging.cursors` comes with every page that has items, `paging.next` only when there is more, and the link holds the
access token, as at Meta.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.sandbox.graph.call import Call
from deploy.sandbox.graph.errors import RefusedError, bad_parameter, refusal

DEFAULT_LIMIT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a call asks for: `limit` items after (or before) the item with this key."""

    limit: int
    after: str | None
    before: str | None


def read_slice(params: Mapping[str, str], *, most: int) -> Slice:
    """The slice a call asks for; more than `most` items is 1/99 with HTTP 500, "reduce the amount of data"."""
    try:
        limit = int(params.get("limit") or DEFAULT_LIMIT)
    except ValueError:
        raise bad_parameter("Param limit must be an integer") from None
    if limit < 1:
        raise bad_parameter("Param limit must be greater than or equal to 1")
    if limit > most:
        raise RefusedError(refusal(1, 99))
    return Slice(limit=limit, after=_key(params.get("after")), before=_key(params.get("before")))


def cursor(key: str) -> str:
    """The opaque cursor of an item."""
    return base64.urlsafe_b64encode(f"c:{key}".encode()).decode().rstrip("=")


def envelope(
    call: Call, data: Sequence[object], *, first: str, last: str, has_next: bool, has_previous: bool
) -> dict[str, object]:
    """`data` and `paging`; `first` and `last` are the keys of its outermost items. Without items there is no paging."""
    if not data:
        return {"data": []}
    paging: dict[str, object] = {"cursors": {"before": cursor(first), "after": cursor(last)}}
    if has_next:
        paging["next"] = _link(call, after=cursor(last))
    if has_previous:
        paging["previous"] = _link(call, before=cursor(first))
    return {"data": list(data), "paging": paging}


def page_of_list(call: Call, items: Sequence[str], *, show: Callable[[str], object], most: int) -> dict[str, object]:
    """One page of a list of ids that is small enough to be held; `show` makes an item's node."""
    wanted = read_slice(call.params, most=most)
    first, last = 0, len(items)
    if wanted.after is not None:
        first = _place(items, wanted.after) + 1
    if wanted.before is not None:
        last = _place(items, wanted.before)
        first = max(first, last - wanted.limit)
    chosen = items[first : min(last, first + wanted.limit)]
    if not chosen:
        return {"data": []}
    return envelope(
        call,
        [show(item) for item in chosen],
        first=chosen[0],
        last=chosen[-1],
        has_next=items[-1] != chosen[-1],
        has_previous=first > 0,
    )


def _place(items: Sequence[str], key: str) -> int:
    if key not in items:
        raise bad_parameter("The cursor is not valid")
    return items.index(key)


def _link(call: Call, **place: str) -> str:
    kept = {name: value for name, value in call.params.items() if name not in ("after", "before")}
    query = urlencode({"access_token": call.token or "", **kept, **place})
    return f"{call.base}/{'/'.join(call.path)}?{query}"


def _key(text: str | None) -> str | None:
    if not text:
        return None
    try:
        kind, _, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        kind, key = "", ""
    if kind != "c" or not key:
        raise bad_parameter("The cursor is not valid")
    return key
