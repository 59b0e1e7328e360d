"""Whether an app, a token or a page may be asked now: what `meta.access` says, kept in memory. Performs no I/O.

Every worker keeps one, fed from the topic, so that what one worker was told by Meta, all of them know. A page may be
asked when its app, its token and the page itself may. Times are unix milliseconds.

    open      may be asked
    doubtful  may be asked, though single leads of it wait, parked, for a sign that leads of it can be read
    paused    not until then: a budget is used up, or Meta blocked the actor
    broken    not until a person has repaired it
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import SecretStr

from ingest.meta.errors import Scope
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Received, Record
from schemas import shapes

State = Literal["open", "doubtful", "paused", "broken"]

HEALTH = "health:"  # before a page's id: what the access watch tells of it, which opens and closes nothing

KEYS = 20_000  # pages whose keys are kept: the hash of a token takes as long as all else that is looked up of a lead

_WORST: tuple[State, ...] = ("broken", "paused", "doubtful", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a page, or one of the three it depends on, stands."""

    state: State = "open"
    key: str = ""  # which of them says so
    reason: str = ""
    until: int | None = None  # of a pause
    at: int = 0  # since when
    page_id: str | None = None  # the page whose lead was asked for


class AccessStates:
    """What is known of apps, tokens and pages.

    `secret` keys the hash that stands for a token, so that neither the topic nor a log tells which one it is.
    """

    def __init__(self, *, secret: SecretStr, clock: Callable[[], int]) -> None:
        self._secret = secret.get_secret_value().encode()
        self._clock = clock
        self._keys = lru_cache(maxsize=KEYS)(self._keys_of)
        self._known: dict[str, Standing] = {}
        self._told: dict[str, deque[bytes]] = {}  # by key: what this worker has told and not yet read

    def key(self, page: PageAccess, scope: Scope) -> str:
        """The key on `meta.access` of a page's app, token, or of the page itself."""
        return self._keys(page)[scope]

    def take(self, key: str, value: bytes | None) -> None:
        """A record of `meta.access`. What cannot be read says nothing.

        What lies there before this worker's own last word on a key is older than what it knows. Of a page's health it
        says nothing about whether it may be asked.
        """
        if key.startswith(HEALTH):
            return
        if told := self._told.get(key):
            # Of several, the first ones may have been compacted away before they were read.
            if value in told:
                while told.popleft() != value:
                    pass
            return
        standing = None if value is None else _read(key, value)
        if standing is not None:
            self._known[key] = standing
        elif value is None:
            self._known.pop(key, None)

    def follow(self, received: Received) -> None:
        """`take`, of a record as it was read."""
        self.take((received.key or b"").decode("utf-8", "replace"), received.value)

    def put(self, standing: Standing) -> None:
        """What this worker is about to tell, and must itself obey from now on."""
        self._known[standing.key] = standing
        self._told.setdefault(standing.key, deque()).append(_value(standing))

    def of(self, key: str) -> Standing:
        """How one of them stands; open where nothing is known, and where a pause is over."""
        known = self._known.get(key)
        if known is None:
            return _open(key)
        if known.state == "paused" and (known.until or 0) <= self._clock():
            return Standing(key=key, at=known.until or 0)
        return known

    def standing(self, page: PageAccess) -> Standing:
        """The worst of app, token and page; of two pauses the longer one."""
        keys = self._keys(page)
        known = [self.of(key) for key in keys.values() if key in self._known]
        if not known:  # as nearly always
            return _open(keys["app"])
        return min(known, key=lambda each: (_WORST.index(each.state), -(each.until or 0)))

    def unsettled(self) -> Iterator[Standing]:
        """What is broken or doubtful, and so waits for a look."""
        return iter([each for each in self._known.values() if each.state in ("broken", "doubtful")])

    def _keys_of(self, page: PageAccess) -> Mapping[Scope, str]:
        token = hmac.digest(self._secret, page.token.get_secret_value().encode(), hashlib.sha256).hex()
        return {"app": f"app:{page.app_id or 'only'}", "token": f"token:{token}", "page": f"page:{page.page_id}"}


@lru_cache(maxsize=3 * KEYS)
def _open(key: str) -> Standing:
    return Standing(key=key)


def access_record(standing: Standing) -> Record:
    """The record that tells everyone."""
    return Record(topic=ACCESS, key=standing.key.encode(), value=_value(standing))


def _value(standing: Standing) -> bytes:
    told: shapes.Access = {
        "state": standing.state,
        "until": standing.until,
        "reason": standing.reason,
        "at": standing.at,
        "page_id": standing.page_id,
    }
    return json.dumps(told).encode()


def _read(key: str, value: bytes) -> Standing | None:
    try:
        told = json.loads(value)
        state, until, at, page_id = told["state"], told["until"], told["at"], told["page_id"]
        reason = str(told["reason"])
    except (ValueError, KeyError, TypeError):
        return None
    if state not in _WORST or not isinstance(at, int) or not isinstance(until, int | None):
        return None
    return Standing(
        state=state, key=key, reason=reason, until=until, at=at, page_id=None if page_id is None else str(page_id)
    )
