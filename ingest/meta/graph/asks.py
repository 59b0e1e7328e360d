"""What to ask, and what opens it: fields, proofs, batches. Performs no I/O of its own."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import quote_plus, urlencode

from pydantic import SecretStr

from ingest.meta.errors import BadAsk

# All that Meta's SDK lists for a Lead but `post`. Without `fields` Meta leaves most of it out.
LEAD_FIELDS = (
    "id",
    "created_time",
    "ad_id",
    "ad_name",
    "adset_id",
    "adset_name",
    "campaign_id",
    "campaign_name",
    "form_id",
    "is_organic",
    "platform",
    "partner_name",
    "retailer_item_id",
    "home_listing",
    "vehicle",
    "custom_disclaimer_responses",
    "field_data",
    "post_submission_check_result",
)
# What any token may read that may read leads: nothing of ads or catalogues. One forbidden field fails the whole ask.
REDUCED_LEAD_FIELDS = (
    "id",
    "created_time",
    "form_id",
    "is_organic",
    "platform",
    "custom_disclaimer_responses",
    "field_data",
)
# No counters: they change with every lead, and every snapshot would be another.
FORM_FIELDS = (
    "id",
    "name",
    "locale",
    "status",
    "page_id",
    "questions",
    "legal_content{privacy_policy,custom_disclaimer}",  # a node of its own: by name alone Meta owes only its id
    "privacy_policy_url",
    "tracking_parameters",
    "context_card",
    "thank_you_page",
    "question_page_custom_headline",
    "is_optimized_for_quality",
    "created_time",
)
FORMS_AT_ONCE = 50  # far more is HTTP 500, whatever the page: frappe/crm#2870
BATCH_SIZE = 50  # developers.facebook.com/docs/graph-api/batch-requests
FORM_TYPE = "application/x-www-form-urlencoded"  # what a batch's body is

_ID_DIGITS = 32
_KEYS = 20_000  # tokens whose proof is kept; it is the same for each of a page's leads
_AROUND = 5_000  # of a page's items, what stands around their ids is kept: 1.5 kB
_PATH = "__path__"  # stands for it while what is around it is written; written as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call, without what opens it. `path` is relative to the version; `about` is the id its answer must have."""

    method: Literal["GET", "POST", "DELETE"] = "GET"
    path: str
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # one of them may be a token
    about: str | None  # None where the answer is no node


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What opens a page: its token, and the secret of the token's app. None where that app is not ours."""

    token: SecretStr
    secret: SecretStr | None = None

    def proof(self) -> tuple[tuple[str, str], ...]:
        """The parameter that proves the caller is the token's app; none without a secret, as a wrong one is refused."""
        return () if self.secret is None else (("appsecret_proof", appsecret_proof(self.token, self.secret)),)


def ask_lead(lead_id: str, fields: Sequence[str] = LEAD_FIELDS) -> Ask:
    """Asks for a lead by its id; BadAsk where that is no id."""
    return _ask_node(lead_id, fields)


def ask_form(form_id: str, fields: Sequence[str] = FORM_FIELDS) -> Ask:
    """Asks for a form by its id; BadAsk where that is no id."""
    return _ask_node(form_id, fields)


def ask_forms(page_id: str, after: str | None = None, *, limit: int = FORMS_AT_ONCE) -> Ask:
    """Asks for a page's forms, as `ask_form` does for one, from the first or from a cursor on; BadAsk for no id.

    The edge is SDK adobjects/page.py, get_lead_gen_forms; the reference of page/leadgen_forms says it cannot be read.
    """
    cursor = () if after is None else (("after", after),)
    params = (("fields", ",".join(FORM_FIELDS)), ("limit", str(limit)), *cursor)
    return Ask(path=f"{_id(page_id)}/leadgen_forms", params=params, about=None)


def ask_batch(asks: Sequence[tuple[Ask, Key]], *, opened_by: Key | None = None) -> str:
    """The body of one POST that asks all of `asks`, each with its own key: FORM_TYPE.

    At most BATCH_SIZE; each counts as a call.

    `opened_by` opens the POST itself, else the first one's key does: where that is dead, Meta answers none of them.

    The tokens stand in the body and nowhere else. Headers are asked for: they carry each item's usage.
    """
    if not 0 < len(asks) <= BATCH_SIZE:
        raise ValueError(f"a batch holds 1 to {BATCH_SIZE} asks, not {len(asks)}")
    # The leads of a page differ in their ids alone: what stands around those is written once.
    before = after = ""
    last: tuple[str, tuple[tuple[str, str], ...], Key] | None = None
    items = []
    for ask, key in asks:
        if last is None or ask.params is not last[1] or key is not last[2] or ask.method != last[0]:
            last = (ask.method, ask.params, key)
            before, after = _around(*last)
        path = ask.path if ask.path.isascii() and ask.path.isdigit() else quote_plus(json.dumps(ask.path)[1:-1])
        items.append(f"{before}{path}{after}")
    outer = opened_by or asks[0][1]  # the POST itself needs a token, even where each item has one
    opened = (("access_token", outer.token.get_secret_value()), *outer.proof(), ("include_headers", "true"))
    return f"{urlencode(opened)}&batch=%5B{'%2C'.join(items)}%5D"


@lru_cache(maxsize=_AROUND)
def _around(method: str, params: tuple[tuple[str, str], ...], key: Key) -> tuple[str, str]:
    """A batch's item as its POST carries it, before its path and after it."""
    query = urlencode((*params, ("access_token", key.token.get_secret_value()), *key.proof()))
    item = json.dumps({"method": method, "relative_url": f"{_PATH}?{query}"})
    before, _, after = quote_plus(item).partition(_PATH)
    return before, after


@lru_cache(maxsize=_KEYS)
def appsecret_proof(token: SecretStr, secret: SecretStr) -> str:
    """Hex HMAC-SHA256 of the token under its app's secret: developers.facebook.com/docs/graph-api/securing-requests."""
    return hmac.new(secret.get_secret_value().encode(), token.get_secret_value().encode(), hashlib.sha256).hexdigest()


def _ask_node(node_id: str, fields: Sequence[str]) -> Ask:
    return Ask(path=_id(node_id), params=_named(tuple(fields)), about=node_id)


@lru_cache(maxsize=64)
def _named(fields: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return (("fields", ",".join(fields)),)


def _id(node_id: str) -> str:
    # An id becomes a path: anything but digits could name another one.
    if not (0 < len(node_id) <= _ID_DIGITS and node_id.isascii() and node_id.isdigit()):
        raise BadAsk("bad-id")
    return node_id
