"""The usage headers: how much of each budget is used, and when Meta will answer again. Performs no I/O of its own.

What is missing or malformed is as if it had not been sent: a good answer never fails for its headers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ingest.meta.graph.text import Json, JsonObject, parse

USAGE_HEADERS = frozenset({"x-app-usage", "x-page-usage", "x-business-use-case-usage", "x-ad-account-usage"})

# Which use of a business object an error code speaks of: developers.facebook.com/docs/graph-api/overview/rate-limiting
_KINDS = {
    80000: "ads_insights",
    80001: "pages",
    80002: "instagram",
    80003: "custom_audience",
    80004: "ads_management",
    80005: "leadgen",
    80006: "messenger",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Percent used of one budget. Meta refuses from 100 on, whichever of the three is there first."""

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
    """What the headers of one answer say is used up; empty where Meta said nothing, or nothing that can be read."""

    app: Load | None = None
    page: Load | None = None
    business: tuple[BusinessUse, ...] = ()
    ad_account_percent: float | None = None
    ad_account_reset_after: float | None = None  # seconds

    def regain_after(self, code: Json) -> float | None:
        """Seconds until the budget that error `code` speaks of is open again; None where Meta gave no estimate."""
        kind = _KINDS.get(code) if isinstance(code, int) else None
        waits = (use.regain_after for use in self.business if use.kind == kind)
        return max(waits, default=0.0) or None


def read_usage(headers: Mapping[str, str]) -> Usage:
    """The usage headers, by lower-cased name.

    The business estimate is in minutes, the ad account's in seconds (same page of Meta's). Meta's own sample of the
    business header repeats a key, so lists under one key are joined.
    """
    return _usage(
        headers.get("x-app-usage"),
        headers.get("x-page-usage"),
        headers.get("x-business-use-case-usage"),
        headers.get("x-ad-account-usage"),
    )


@lru_cache(maxsize=1024)  # percentages of the same few pages, which change seldom
def _usage(app: str | None, page: str | None, business: str | None, ad_account: str | None) -> Usage:
    account = _object(ad_account)
    return Usage(
        app=_load(_object(app)),
        page=_load(_object(page)),
        business=tuple(_business(_object(business))),
        ad_account_percent=_number(account.get("acc_id_util_pct")),
        ad_account_reset_after=_number(account.get("reset_time_duration")),
    )


def _business(told: JsonObject) -> Iterator[BusinessUse]:
    for object_id, uses in told.items():
        for use in uses if isinstance(uses, list) else ():
            if not isinstance(use, dict):
                continue
            kind, load = use.get("type"), _load(use)
            if isinstance(kind, str) and load is not None:
                minutes = _number(use.get("estimated_time_to_regain_access")) or 0.0
                yield BusinessUse(object_id=object_id, kind=kind, load=load, regain_after=minutes * 60)


def _load(told: JsonObject) -> Load | None:
    calls, cpu, total = (_number(told.get(name)) for name in ("call_count", "total_cputime", "total_time"))
    if calls is None and cpu is None and total is None:
        return None
    return Load(calls=calls or 0.0, cpu_time=cpu or 0.0, total_time=total or 0.0)


def _object(header: str | None) -> JsonObject:
    parsed = parse(header, _joined)
    return parsed if isinstance(parsed, dict) else {}


def _joined(pairs: Iterable[tuple[str, Json]]) -> JsonObject:
    joined: JsonObject = {}
    for name, value in pairs:
        before = joined.get(name)
        joined[name] = before + value if isinstance(before, list) and isinstance(value, list) else value
    return joined


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1e9 else None  # noqa: PLR2004  neither a percentage nor a time is more
