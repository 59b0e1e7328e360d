"""What was told of each page's access under `health:` on `meta.access`, kept so that only what is news is told.

Performs no I/O. It opens and breaks nothing: what may be asked is `processors/access.py`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

from ingest.health import Finding
from ingest.meta.graph import TokenFacts
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Received, Record
from processors.access import HEALTH
from schemas import shapes

# They come and go within the hour, and the governor acts on them by itself.
_PASSING = frozenset({"budget-near", "app-budget-near"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A page's, as it is told. `findings` are by code, or code/what it is about; expiries in unix milliseconds."""

    page_id: str
    app_id: str | None = None
    findings: Mapping[str, str] = field(default_factory=dict)
    token_expires_at: int | None = None  # 0: never
    data_access_expires_at: int | None = None
    at: int = 0


def health_of(page: PageAccess, findings: Iterable[Finding], token: TokenFacts | None, *, now: int) -> Health:
    """The page's, of its own findings and of its app's; `now` is unix milliseconds."""
    told = {
        finding.code if finding.about is None else f"{finding.code}/{finding.about}": finding.severity
        for finding in findings
        if finding.severity in ("wrong", "warning") and finding.code not in _PASSING
    }
    return Health(
        page_id=page.page_id,
        app_id=page.app_id,
        findings=dict(sorted(told.items())),
        token_expires_at=_ms(token.expires_at if token else None),
        data_access_expires_at=_ms(token.data_access_expires_at if token else None),
        at=now,
    )


class HealthStates:
    """What is known of every page, fed from the topic."""

    def __init__(self) -> None:
        self._known: dict[str, Health] = {}

    def follow(self, received: Received) -> None:
        """A record of `meta.access`. What is not of a page's health, or cannot be read, says nothing."""
        key = (received.key or b"").decode("utf-8", "replace")
        if not key.startswith(HEALTH):
            return
        page_id = key.removeprefix(HEALTH)
        health = None if received.value is None else _read(page_id, received.value)
        if health is not None:
            self._known[page_id] = health
        elif received.value is None:
            self._known.pop(page_id, None)

    def of(self, page_id: str) -> Health | None:
        return self._known.get(page_id)

    def is_news(self, health: Health) -> bool:
        """Whether it differs from what was told, but for its time."""
        known = self._known.get(health.page_id)
        return known is None or (
            (known.app_id, known.findings, known.token_expires_at, known.data_access_expires_at)
            != (health.app_id, health.findings, health.token_expires_at, health.data_access_expires_at)
        )

    def put(self, health: Health) -> None:
        """What is about to be told."""
        self._known[health.page_id] = health

    def drop(self, page_id: str) -> None:
        """A page that we no longer hold a token for."""
        self._known.pop(page_id, None)

    def pages(self) -> list[str]:
        """The ids of all that anything is known of."""
        return list(self._known)

    def counts(self, page_ids: Iterable[str]) -> dict[str, int]:
        """How many of the pages have each finding, by code."""
        counts: dict[str, int] = {}
        for page_id in page_ids:
            health = self._known.get(page_id)
            for code in {name.partition("/")[0] for name in health.findings} if health else ():
                counts[code] = counts.get(code, 0) + 1
        return counts

    def first_to_expire(self, page_ids: Iterable[str], most: int) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """When the first so many tokens end, and the first so many data accesses, by page, in unix milliseconds."""
        known = [health for page_id in page_ids if (health := self._known.get(page_id)) is not None]
        tokens = {each.page_id: each.token_expires_at for each in known if each.token_expires_at}
        accesses = {each.page_id: each.data_access_expires_at for each in known if each.data_access_expires_at}
        return _first(tokens, most), _first(accesses, most)


def health_record(health: Health) -> Record:
    """The record that tells everyone."""
    told: shapes.Health = {
        "page_id": health.page_id,
        "app_id": health.app_id,
        "findings": dict(health.findings),
        "token_expires_at": health.token_expires_at,
        "data_access_expires_at": health.data_access_expires_at,
        "at": health.at,
    }
    return Record(topic=ACCESS, key=f"{HEALTH}{health.page_id}".encode(), value=json.dumps(told).encode())


def forgotten(page_id: str) -> Record:
    """The record that says that nothing is looked at any more."""
    return Record(topic=ACCESS, key=f"{HEALTH}{page_id}".encode(), value=None)


def _first(at: Mapping[str, int], most: int) -> dict[str, int]:
    return dict(nsmallest(most, at.items(), key=lambda each: (each[1], each[0])))


def _ms(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def _read(page_id: str, value: bytes) -> Health | None:
    try:
        told = json.loads(value)
        findings, at = told["findings"], told["at"]
        app_id, token, data = told["app_id"], told["token_expires_at"], told["data_access_expires_at"]
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(findings, dict) and isinstance(at, int) and isinstance(app_id, str | None)):
        return None
    if not (isinstance(token, int | None) and isinstance(data, int | None)):
        return None
    return Health(
        page_id=page_id,
        app_id=app_id,
        findings={str(name): str(severity) for name, severity in findings.items()},
        token_expires_at=token,
        data_access_expires_at=data,
        at=at,
    )
