"""What to ask the Graph API, and how to read what it says. Performs no I/O of its own.

An answer is kept exactly as Meta wrote it; what is read out of it stands beside it. Whatever bytes arrive, reading them
gives an Answer or raises a GraphError. Ids are strings and never pass through a float.
"""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlencode

from pydantic import SecretStr

from ingest.meta.errors import BadAsk, GraphError, Reason, Unavailable, refusal

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

# What facebook_business's Lead node has, but `post`. Without `fields` most of it is left out.
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
# What a token may read that may read leads at all: neither ads nor catalogues. One forbidden field fails a whole ask.
REDUCED_LEAD_FIELDS = (
    "id",
    "created_time",
    "form_id",
    "is_organic",
    "platform",
    "custom_disclaimer_responses",
    "field_data",
)
# No counters: they change with every lead and would make every snapshot another one.
FORM_FIELDS = (
    "id",
    "name",
    "locale",
    "status",
    "page_id",
    "questions",
    "legal_content",
    "privacy_policy_url",
    "tracking_parameters",
    "context_card",
    "thank_you_page",
    "question_page_custom_headline",
    "is_optimized_for_quality",
    "created_time",
)
COUNTERS = frozenset({"leads_count", "organic_leads_count", "expired_leads_count"})
BATCH_LIMIT = 50  # developers.facebook.com/docs/graph-api/batch-requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call, without what opens it. `path` is relative to the version; `about` is the id its answer must have."""

    method: Literal["GET"] = "GET"
    path: str
    params: tuple[tuple[str, str], ...] = ()
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What opens a page: its token, and the secret of the token's app. None where that app is not ours."""

    token: SecretStr
    secret: SecretStr | None = None

    def proof(self) -> tuple[tuple[str, str], ...]:
        """The parameter that proves the caller is the token's app; none without a secret, as a wrong one is refused."""
        return () if self.secret is None else (("appsecret_proof", appsecret_proof(self.token, self.secret)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Percent used of one budget; Meta refuses from 100 on, whichever is full first."""

    calls: float
    cpu_time: float
    total_time: float

    @property
    def fullest(self) -> float:
        return max(self.calls, self.cpu_time, self.total_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessUse:
    """One business object's budget of one kind (leadgen, pages, ads_management ...). `regain_after` is seconds."""

    object_id: str
    kind: str
    load: Load
    regain_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the headers say is used up. Empty where Meta said nothing, or nothing that can be read."""

    app: Load | None = None
    page: Load | None = None
    business: tuple[BusinessUse, ...] = ()
    ad_account_percent: float | None = None
    ad_account_reset_after: float | None = None  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Meta said. `body` is its text, unchanged: `body.encode()` are the bytes. Never shown: it holds answers."""

    body: str = field(repr=False)
    parsed: JsonObject = field(repr=False)
    version: str | None  # that served it, which need not be the one that was asked
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A form as it was: canonical JSON text without counters, and the version, a sha256 in hex."""

    text: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of an edge. `after` asks for the next; None is the end."""

    items: tuple[JsonObject, ...] = field(repr=False)
    after: str | None


def ask_lead(lead_id: str, fields: Sequence[str] = LEAD_FIELDS) -> Ask:
    """Asks for a lead by its id; BadAsk where that is no id."""
    return _ask_node(lead_id, fields)


def ask_form(form_id: str, fields: Sequence[str] = FORM_FIELDS) -> Ask:
    """Asks for a form by its id; BadAsk where that is no id."""
    return _ask_node(form_id, fields)


def ask_batch(asks: Sequence[tuple[Ask, Key]]) -> dict[str, str]:
    """The form of one POST that asks all of `asks`, each with its own key; at most BATCH_LIMIT, each counts as a call.

    The tokens stand in the body and nowhere else. Headers are asked for: they carry each item's usage.
    """
    if not 0 < len(asks) <= BATCH_LIMIT:
        raise ValueError(f"a batch holds 1 to {BATCH_LIMIT} asks, not {len(asks)}")
    items = []
    for ask, key in asks:
        opened = (*ask.params, ("access_token", key.token.get_secret_value()), *key.proof())
        items.append({"method": ask.method, "relative_url": f"{ask.path}?{urlencode(opened)}"})
    outer = asks[0][1]  # the POST itself needs a token too
    return {
        "access_token": outer.token.get_secret_value(),
        **dict(outer.proof()),
        "include_headers": "true",
        "batch": json.dumps(items),
    }


def appsecret_proof(token: SecretStr, secret: SecretStr) -> str:
    """Hex HMAC-SHA256 of the token under its app's secret: developers.facebook.com/docs/graph-api/securing-requests."""
    return hmac.new(secret.get_secret_value().encode(), token.get_secret_value().encode(), hashlib.sha256).hexdigest()


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, about: str | None = None) -> Answer:
    """The node in an HTTP answer; GraphError for everything else. `about` is the id it must have."""
    return _read(status, headers, _decode(body), about)


def read_batch(
    status: int, headers: Mapping[str, str], body: bytes, asks: Sequence[Ask]
) -> tuple[Answer | GraphError, ...]:
    """What became of each ask, in their order; GraphError when the batch as a whole failed.

    An item that Meta left out (null, when it ran out of time) is Unavailable("not-answered"): ask it again.
    """
    parsed = _parse(_decode(body))
    if not 200 <= status < 300 or not isinstance(parsed, list):  # noqa: PLR2004  HTTP's own boundaries
        _read(status, headers, _decode(body), None)
        raise Unavailable("not-an-object", http_status=status)
    if len(parsed) != len(asks):  # then its order tells nothing
        raise Unavailable("not-an-object", http_status=status)
    return tuple(_read_item(item, ask) for item, ask in zip(parsed, asks, strict=True))


def read_page(answer: Answer) -> Page:
    """The elements of an edge, and the cursor behind them.

    The end is where `next` is missing: `after` is there on the last page too (facebook_business, Cursor). The URL in
    `next` holds the token and is not kept.
    """
    data, paging = answer.parsed.get("data"), answer.parsed.get("paging")
    if not isinstance(data, list):
        raise Unavailable("not-an-object")
    items = tuple(item for item in data if isinstance(item, dict))
    if len(items) != len(data):
        raise Unavailable("not-an-object")
    if not isinstance(paging, dict) or paging.get("next") is None:
        return Page(items=items, after=None)
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:  # there is more, and no way to it
        raise Unavailable("not-an-object")
    return Page(items=items, after=after)


def snapshot(form: JsonObject) -> Snapshot:
    """The form as it was read, and the version of what a person was shown: name, locale, questions, legal text.

    Neither depends on the order of keys; the order of questions and options counts, as it was shown. An option's photo
    is not in the version: its address is signed anew at every read.
    """
    shown: JsonObject = {
        "name": form.get("name"),
        "locale": form.get("locale"),
        "questions": _without_photos(form.get("questions")),
        "legal_content": form.get("legal_content"),
        "privacy_policy_url": form.get("privacy_policy_url"),
    }
    kept: JsonObject = {name: value for name, value in form.items() if name not in COUNTERS}
    return Snapshot(text=_canonical(kept), version=hashlib.sha256(_canonical(shown).encode()).hexdigest())


def read_usage(headers: Mapping[str, str]) -> Usage:
    """The usage headers; what is missing or malformed is as if it had not been sent.

    developers.facebook.com/docs/graph-api/overview/rate-limiting: the business estimate is in minutes, the ad account's
    in seconds.
    """
    told = {name.lower(): value for name, value in headers.items()}
    account = _header_object(told.get("x-ad-account-usage"))
    return Usage(
        app=_load(_header_object(told.get("x-app-usage"))),
        page=_load(_header_object(told.get("x-page-usage"))),
        business=tuple(_business(_header_object(told.get("x-business-use-case-usage")))),
        ad_account_percent=_number(account.get("acc_id_util_pct")),
        ad_account_reset_after=_number(account.get("reset_time_duration")),
    )


# Which use of a business object a code speaks of.
_KINDS = {
    80000: "ads_insights",
    80001: "pages",
    80002: "instagram",
    80003: "custom_audience",
    80004: "ads_management",
    80005: "leadgen",
    80006: "messenger",
}


def _ask_node(node_id: str, fields: Sequence[str]) -> Ask:
    # An id becomes a path: anything but digits could name another one.
    if not re.fullmatch(r"\d{1,32}", node_id, re.ASCII):
        raise BadAsk("bad-id")
    return Ask(path=node_id, params=(("fields", ",".join(fields)),), about=node_id)


def _read(status: int, headers: Mapping[str, str], text: str | None, about: str | None) -> Answer:
    usage = read_usage(headers)
    parsed = _parse(text)
    if isinstance(parsed, dict) and isinstance(envelope := parsed.get("error"), dict):
        raise refusal(envelope, status, _regain_after(envelope.get("code"), usage))
    if status >= 500:  # noqa: PLR2004  HTTP's own boundary
        raise Unavailable("server-error", http_status=status)
    if text is None or parsed is None:
        raise Unavailable(_no_json(text), http_status=status)
    if not 200 <= status < 300:  # noqa: PLR2004  HTTP's own boundaries
        raise Unavailable("no-envelope", http_status=status)
    # The SDK takes a 200 with either key for a failure (facebook_business, FacebookResponse.is_success).
    if not isinstance(parsed, dict) or "error" in parsed or "Service Unavailable" in parsed:
        raise Unavailable("not-an-object", http_status=status)
    if about is not None and str(parsed.get("id")) != about:
        raise Unavailable("another-object", http_status=status)
    return Answer(body=text, parsed=parsed, version=_served_version(headers), usage=usage)


def _no_json(text: str | None) -> Reason:
    if text is None:
        return "not-utf8"
    return "not-json" if text.strip() else "empty"


def _read_item(item: Json, ask: Ask) -> Answer | GraphError:
    if item is None:
        return Unavailable("not-answered")
    if not isinstance(item, dict):
        return Unavailable("not-an-object")
    status, body = item.get("code"), item.get("body")
    if not isinstance(status, int) or not isinstance(body, str):
        return Unavailable("not-an-object")
    try:
        return _read(status, _item_headers(item.get("headers")), body if _is_text(body) else None, ask.about)
    except GraphError as error:
        return error


def _item_headers(headers: Json) -> dict[str, str]:
    told = {}
    for pair in headers if isinstance(headers, list) else ():
        if isinstance(pair, dict):
            name, value = pair.get("name"), pair.get("value")
            if isinstance(name, str) and isinstance(value, str):
                told[name] = value
    return told


# The three below give None instead of raising: a decoder's exception holds the whole text, and stays in the chain.


def _decode(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_text(text: str) -> bool:
    """Whether it can be written as UTF-8; half of a surrogate pair cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _parse(text: str | None) -> Json:
    """JSON as RFC 8259 has it; None where it is none (or null, which says as little)."""
    try:
        parsed: Json = json.loads(text or "", parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return None
    return parsed


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


def _served_version(headers: Mapping[str, str]) -> str | None:
    told = {name.lower(): value for name, value in headers.items()}.get("facebook-api-version", "")
    return told if re.fullmatch(r"v\d{1,3}\.\d{1,3}", told, re.ASCII) else None


def _header_object(text: str | None) -> JsonObject:
    """A header's JSON object; lists under a repeated key are joined, as Meta's own sample repeats one."""
    try:
        parsed = json.loads(text or "", object_pairs_hook=_merged)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _merged(pairs: Iterable[tuple[str, Json]]) -> JsonObject:
    merged: JsonObject = {}
    for name, value in pairs:
        before = merged.get(name)
        merged[name] = before + value if isinstance(before, list) and isinstance(value, list) else value
    return merged


def _business(told: JsonObject) -> Iterable[BusinessUse]:
    for object_id, uses in told.items():
        for use in uses if isinstance(uses, list) else ():
            load = _load(use) if isinstance(use, dict) else None
            if load is not None and isinstance(use, dict) and isinstance(kind := use.get("type"), str):
                minutes = _number(use.get("estimated_time_to_regain_access")) or 0.0
                yield BusinessUse(object_id=object_id, kind=kind, load=load, regain_after=minutes * 60)


def _load(told: JsonObject) -> Load | None:
    calls, cpu, total = (_number(told.get(name)) for name in ("call_count", "total_cputime", "total_time"))
    if calls is None and cpu is None and total is None:
        return None
    return Load(calls=calls or 0.0, cpu_time=cpu or 0.0, total_time=total or 0.0)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1e9 else None  # noqa: PLR2004  percents and minutes; NaN and infinity are neither


def _regain_after(code: Json, usage: Usage) -> float | None:
    kind = _KINDS.get(code) if isinstance(code, int) else None
    waits = [use.regain_after for use in usage.business if use.kind == kind]
    return max(waits, default=0.0) or None


def _without_photos(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_photos(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_photos(item) for name, item in value.items() if name != "photo"}
    return value


def _canonical(value: Json) -> str:
    # ASCII, because half a surrogate pair, which JSON can escape, could not be encoded later.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
