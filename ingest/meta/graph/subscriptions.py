"""What to ask about webhooks at both levels, and how to read it: where an app's go, and which pages it listens to.

Performs no I/O. Reading only. Whether values are included ("include values") is in neither answer: it shows in what
arrives at the door.
"""

import re
from dataclasses import dataclass

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph.answers import Answer
from ingest.meta.graph.asks import Ask
from ingest.meta.graph.text import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where an app's webhooks about pages go, and about which fields of them."""

    callback_url: str | None
    is_active: bool | None
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An app that is installed on a page, and what it listens to there."""

    app_id: str
    fields: frozenset[str]


def ask_subscriptions(app_id: str) -> Ask:
    """Asks for an app's subscriptions, with the app's own key (FBS cheat sheet: `/{app-id}/subscriptions`)."""
    return Ask(path=f"{_id(app_id)}/subscriptions", params=(), about=None)


def read_subscriptions(answer: Answer) -> Subscription | None:
    """The subscription to pages; None where the app has none. Unavailable where the answer is no list."""
    for each in _list(answer):
        if isinstance(each, dict) and each.get("object") == "page":
            callback, active = each.get("callback_url"), each.get("active")
            return Subscription(
                callback_url=callback if isinstance(callback, str) else None,
                is_active=active if isinstance(active, bool) else None,
                fields=_names(each.get("fields")),
            )
    return None


def ask_subscribed_apps(page_id: str) -> Ask:
    """Asks which apps are installed on a page, with the page's key (SDK adobjects/page.py, get_subscribed_apps)."""
    return Ask(path=f"{_id(page_id)}/subscribed_apps", params=(("fields", "id,subscribed_fields"),), about=None)


def read_subscribed_apps(answer: Answer) -> tuple[Installed, ...]:
    """The apps that are. Unavailable where the answer is no list."""
    return tuple(
        Installed(app_id=str(each["id"]), fields=_names(each.get("subscribed_fields")))
        for each in _list(answer)
        if isinstance(each, dict) and isinstance(each.get("id"), str | int)
    )


def _list(answer: Answer) -> list[Json]:
    data = answer.parsed.get("data")
    if not isinstance(data, list):
        raise Unavailable("not-an-object")
    return data


def _names(fields: Json) -> frozenset[str]:
    """An app's fields come as `{name, version}`, a page's as plain names."""
    found = (
        [each.get("name") if isinstance(each, dict) else each for each in fields] if isinstance(fields, list) else []
    )
    return frozenset(name for name in found if isinstance(name, str))


def _id(node_id: str) -> str:
    # An id becomes a path: anything but digits could name another one.
    if not re.fullmatch(r"[0-9]{1,32}", node_id):
        raise BadAsk("bad-id")
    return node_id
