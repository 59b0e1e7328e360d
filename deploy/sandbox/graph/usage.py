"""How much of its budget a page, and the app, has used: the usage headers, and when Graph says "too many calls".

Leadgen calls of a page in a rolling 24 hours: 4800 for each lead of the last 90 days (RATE, RETR). Refused calls count
too.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.sandbox.graph.errors import RefusedError, refusal

CALLS_PER_LEAD = 4800
WINDOW = 24 * 3600.0
SLICES = 288
APP_CALLS_PER_HOUR = 200 * 100_000
"""200 calls for each user of the app and hour; the sandbox's app is a popular one."""


@dataclass(slots=True)
class Rolling:
    """Calls of the last `window` seconds, counted in slices of it."""

    window: float = WINDOW
    total: int = 0
    _slices: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float) -> None:
        """Count one call."""
        slice_end = math.ceil(now / self.slice) * self.slice
        if self._slices and self._slices[-1][0] == slice_end:
            self._slices[-1] = (slice_end, self._slices[-1][1] + 1)
        else:
            self._slices.append((slice_end, 1))
        self.total += 1

    def count(self, now: float) -> int:
        """Calls within the window that ends now."""
        while self._slices and self._slices[0][0] <= now - self.window:
            self.total -= self._slices.popleft()[1]
        return self.total

    def seconds_until(self, limit: int, now: float) -> float:
        """How long until fewer than `limit` calls are left in the window, if nobody calls."""
        surplus = self.count(now) - limit + 1
        if surplus <= 0:
            return 0.0
        for slice_end, calls in self._slices:
            surplus -= calls
            if surplus <= 0:
                return slice_end + self.window - now
        return self.window

    @property
    def slice(self) -> float:
        """Seconds in one slice."""
        return self.window / SLICES


@dataclass(slots=True)
class Budget:
    """One page's leadgen budget. `limit` None is Meta's formula; `blocked_until` is a pause the admin ordered."""

    rolling: Rolling = field(default_factory=Rolling)
    limit: int | None = None
    blocked_until: float = 0.0


class Usage:
    """Every budget. `recent_leads` gives how many leads a page got in 90 days; `now` gives unix seconds."""

    def __init__(self, *, recent_leads: Callable[[int], int], now: Callable[[], float]) -> None:
        self.sends_page_usage = False
        self.app_limit: int | None = None
        self._recent_leads = recent_leads
        self._now = now
        self._pages: dict[int, Budget] = {}
        self._limits: dict[int, tuple[float, int]] = {}
        self._app = Rolling(window=3600.0)

    def budget(self, page: int) -> Budget:
        """The page's budget, to be changed by the admin."""
        found = self._pages.get(page)
        if found is None:
            found = self._pages[page] = Budget()
        return found

    def clear(self) -> None:
        """Forget every call and every change."""
        self._pages.clear()
        self._limits.clear()
        self._app = Rolling(window=3600.0)
        self.app_limit = None
        self.sends_page_usage = False

    def count(self, page: int | None) -> None:
        """Count a call, whatever comes of it."""
        now = self._now()
        self._app.add(now)
        if page is not None:
            self.budget(page).rolling.add(now)

    def check(self, page: int | None) -> None:
        """Raise #4 or #80005 when the call just counted was one too many."""
        now = self._now()
        if self.app_limit is not None and self._app.count(now) > self.app_limit:
            raise RefusedError(refusal(4))
        if page is None:
            return
        budget = self.budget(page)
        if now < budget.blocked_until or budget.rolling.count(now) > self._limit(page, budget, now):
            raise RefusedError(refusal(80005))

    def headers(self, page: int | None, page_id: str) -> dict[str, str]:
        """The usage headers of a call that concerned this page (None: only the app's)."""
        now = self._now()
        app_limit = self.app_limit or APP_CALLS_PER_HOUR
        app = min(_percent(self._app.count(now), app_limit), 999)
        headers = {"x-app-usage": f'{{"call_count":{app},"total_cputime":{app // 2},"total_time":{app // 2}}}'}
        if page is None:
            return headers
        budget = self.budget(page)
        limit = self._limit(page, budget, now)
        used = budget.rolling.count(now)
        seconds = max(budget.blocked_until - now, budget.rolling.seconds_until(limit, now) if used > limit else 0.0)
        percent = max(_percent(used, limit), 100 if seconds > 0 else 0)
        minutes = math.ceil(seconds / 60)  # minutes, not seconds (RATE)
        headers["x-business-use-case-usage"] = (
            f'{{"{page_id}":[{{"type":"leadgen","call_count":{percent},"total_cputime":{percent // 3},'
            f'"total_time":{percent // 3},"estimated_time_to_regain_access":{minutes}}}]}}'
        )
        if self.sends_page_usage:
            headers["x-page-usage"] = (
                f'{{"call_count":{percent},"total_cputime":{percent // 3},"total_time":{percent // 3}}}'
            )
        return headers

    def _limit(self, page: int, budget: Budget, now: float) -> int:
        if budget.limit is not None:
            return budget.limit
        at, limit = self._limits.get(page, (0.0, 0))
        if now - at > 1.0:
            # A page without leads still gets the calls of one, or nothing could ever be read there.
            limit = CALLS_PER_LEAD * max(self._recent_leads(page), 1)
            self._limits[page] = (now, limit)
        return limit


def _percent(used: int, limit: int) -> int:
    return used * 100 // limit if limit > 0 else 100
