"""Setting pages up: a person's pages, tokens that last, and both levels of the webhook subscription.

Performs no I/O. What carries a secret or a token as a parameter is a POST, so that none of them stands in a URL.
`subscriptions` reads what is subscribed already.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from pydantic import SecretStr

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph.answers import Answer, Page
from ingest.meta.graph.asks import Ask
from ingest.meta.graph.text import JsonObject

ACCOUNTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A page of the person who asked. `token` is None where they may have none, `tasks` where Meta does not say."""

    page_id: str
    name: str | None
    token: SecretStr | None
    tasks: frozenset[str] | None  # what they may do there, such as ADVERTISE


def ask_exchange(app_id: str, secret: SecretStr, token: SecretStr) -> Ask:
    """Asks for a long-lived token in return for a person's, with the app's key.

    developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived shows a GET, which would put all
    three in a URL. It is an OAuth 2 token endpoint, and those take a POST (RFC 6749, 3.2).
    """
    params = (
        ("grant_type", "fb_exchange_token"),
        ("client_id", _id(app_id)),
        ("client_secret", secret.get_secret_value()),
        ("fb_exchange_token", token.get_secret_value()),
    )
    return Ask(method="POST", path="oauth/access_token", params=params, about=None)


def read_exchange(answer: Answer) -> SecretStr:
    """The long-lived token; Unavailable where there is none."""
    token = _token(answer.parsed)
    if token is None:
        raise Unavailable("not-an-object")
    return token


def ask_accounts(after: str | None = None) -> Ask:
    """Asks, with a person's or a system user's token, for their pages, from the first or from a cursor on.

    SDK adobjects/user.py, get_accounts.
    """
    cursor = () if after is None else (("after", after),)
    params = (("fields", "id,name,access_token,tasks"), ("limit", str(ACCOUNTS_AT_ONCE)), *cursor)
    return Ask(path="me/accounts", params=params, about=None)


def read_accounts(page: Page) -> tuple[Account, ...]:
    """The pages on one page of that list; Unavailable where one of them has no id."""
    return tuple(map(_account, page.items))


def ask_install(page_id: str, fields: Collection[str]) -> Ask:
    """Installs the app on a page, with the page's token (SDK adobjects/page.py, create_subscribed_app).

    `fields` takes the place of what the app listened to there.
    """
    params = (("subscribed_fields", ",".join(sorted(fields))),)
    return Ask(method="POST", path=f"{_id(page_id)}/subscribed_apps", params=params, about=None)


def ask_callback(app_id: str, url: str, fields: Collection[str], verify_token: SecretStr) -> Ask:
    """Sends the app's webhooks about pages to `url`, values included, with the app's token.

    Meta calls `url` before it answers (docs/graph-api/webhooks/getting-started). An app has one such subscription:
    `url` and `fields` take the place of what was there.
    """
    params = (
        ("object", "page"),
        ("callback_url", url),
        ("fields", ",".join(sorted(fields))),
        ("include_values", "true"),
        ("verify_token", verify_token.get_secret_value()),
    )
    return Ask(method="POST", path=f"{_id(app_id)}/subscriptions", params=params, about=None)


def read_success(answer: Answer) -> None:
    """Unavailable unless Meta says that it was done; its pages show both `true` and "true"."""
    if answer.parsed.get("success") not in (True, "true"):
        raise Unavailable("not-an-object")


def _account(item: JsonObject) -> Account:
    page_id, name, tasks = item.get("id"), item.get("name"), item.get("tasks")
    if not isinstance(page_id, str | int) or not re.fullmatch(r"[0-9]{1,32}", str(page_id)):
        raise Unavailable("not-an-object")
    return Account(
        page_id=str(page_id),
        name=name if isinstance(name, str) and name else None,
        token=_token(item),
        tasks=frozenset(map(str, tasks)) if isinstance(tasks, list) else None,
    )


def _token(node: JsonObject) -> SecretStr | None:
    token = node.get("access_token")
    # As the pages file holds it: fit for a header.
    return SecretStr(token) if isinstance(token, str) and re.fullmatch(r"[!-~]+", token, re.ASCII) else None


def _id(object_id: str) -> str:
    # An id becomes a path: anything but digits could name another one.
    if not re.fullmatch(r"[0-9]{1,32}", object_id):
        raise BadAsk("bad-id")
    return object_id
