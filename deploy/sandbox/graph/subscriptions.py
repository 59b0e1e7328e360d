"""Both levels of a webhook subscription: the app on a page, and the app's callback with its handshake."""

import json
import random
from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp

from deploy.sandbox.graph.auth import Caller
from deploy.sandbox.graph.call import Target
from deploy.sandbox.graph.errors import RefusedError, bad_parameter, missing, refusal
from deploy.sandbox.graph.facts import AppSubscribed, PageSubscribed
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.world import GRAPH_VERSION

PAGE_FIELDS = ("feed", "leadgen", "leadgen_fat", "leadgen_update", "messages", "messaging_in_thread_lead_form_submit")
"""The lead fields of SDK Page.SubscribedFields, and two others."""
HANDSHAKE_TIMEOUT = 10.0


def read_subscribed_apps(state: State, caller: Caller, target: Target) -> dict[str, object]:
    """The apps installed on a page: ours, or nobody."""
    page, app = _own_page(caller, target), state.world.app
    fields = state.access(page).subscribed_fields
    if not fields:
        return {"data": []}
    link = f"https://www.facebook.com/games/?app_id={app.app_id}"
    installed = {"category": "Business", "link": link, "name": app.name, "id": app.app_id}
    return {"data": [installed | {"subscribed_fields": list(fields)}]}


def change_subscribed_apps(
    state: State, caller: Caller, target: Target, params: Mapping[str, str], *, install: bool
) -> dict[str, object]:
    """Install the app on the page with exactly these fields, or remove it."""
    page = _own_page(caller, target)
    fields = _names(params.get("subscribed_fields", "")) if install else ()
    if install and not fields:
        raise bad_parameter("The parameter subscribed_fields is required.")
    for place, field in enumerate(fields):
        if field not in PAGE_FIELDS:
            raise bad_parameter(f"Param subscribed_fields[{place}] must be one of {{{', '.join(PAGE_FIELDS)}}}")
    state.record(PageSubscribed(page=page, fields=fields))
    return {"success": True}


def read_subscriptions(state: State, caller: Caller, target: Target) -> dict[str, object]:
    """Where the app's webhooks go."""
    _own_app(caller, target)
    current = state.app_subscription
    if current.callback_url is None:
        return {"data": []}
    fields = [{"name": field, "version": GRAPH_VERSION} for field in current.fields]
    return {
        "data": [{"object": "page", "callback_url": current.callback_url, "active": True, "fields": fields}],
    }


async def subscribe(state: State, caller: Caller, target: Target, params: Mapping[str, str]) -> dict[str, object]:
    """Set the callback, after the handshake with it; #2200 when that fails (FBS cheat sheet)."""
    _own_app(caller, target)
    if params.get("object") != "page":
        raise bad_parameter("Param object must be page")
    fields, callback = _names(params.get("fields", "")), params.get("callback_url", "")
    if not fields or not callback:
        raise bad_parameter("The parameters callback_url and fields are required.")
    await shake_hands(callback, params.get("verify_token", ""))
    include = params.get("include_values", "true").lower() in ("true", "1")
    state.record(AppSubscribed(callback_url=callback, fields=fields, include_values=include))
    return {"success": True}


def unsubscribe(state: State, caller: Caller, target: Target) -> dict[str, object]:
    """Take the callback away."""
    _own_app(caller, target)
    state.record(AppSubscribed(callback_url=None))
    return {"success": True}


async def shake_hands(callback: str, verify_token: str) -> None:
    """GET the callback and expect the challenge back, exactly; raises #2200 with what came instead."""
    challenge = str(random.randrange(10**9, 2**31))  # noqa: S311 - Meta's is a number too; nothing is protected by it
    query = urlencode({"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token})
    url = f"{callback}{'&' if '?' in callback else '?'}{query}"
    try:
        timeout = aiohttp.ClientTimeout(total=HANDSHAKE_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            body = await response.text()
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        raise RefusedError(refusal(2200, object_id="The URL couldn't be reached.")) from None
    if response.status != 200:  # noqa: PLR2004 - HTTP OK
        raise RefusedError(
            refusal(2200, object_id=f"HTTP Status Code = {response.status}; HTTP Message = {response.reason}")
        )
    if body != challenge:
        raise RefusedError(refusal(2200, object_id="The response does not match the challenge."))


def _own_page(caller: Caller, target: Target) -> int:
    if target.page is None or target.kind != "page" or (caller.kind == "page" and caller.page != target.page):
        raise missing(target.object_id)
    if caller.kind == "app":
        raise RefusedError(refusal(190, object_id=target.object_id))
    return target.page


def _own_app(caller: Caller, target: Target) -> None:
    if target.kind != "app":
        raise missing(target.object_id)
    if caller.kind != "app" or caller.app_id != target.object_id:
        raise bad_parameter("This method must be called with an app access token of this app.")


def _names(text: str) -> tuple[str, ...]:
    """A comma-separated list or a JSON array of names; Graph takes both."""
    if text.startswith("["):
        try:
            return tuple(map(str, json.loads(text)))
        except ValueError:
            raise bad_parameter("The list is not valid JSON.") from None
    return tuple(name.strip() for name in text.split(",") if name.strip())
