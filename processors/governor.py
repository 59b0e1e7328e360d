"""Who may be asked now, from what Meta has answered: budgets, lost access, silence. Performs no I/O; knows no sleep.

Meta counts every call against an app, a token and a page, says in the headers of its answers how much is used, and
answers a call too many by making the wait longer. So what is paused or broken is not asked at all, by any worker: what
is decided here goes to `meta.access` (`news`), and what others have decided is obeyed.

Three things can be wrong, and are told apart here:
    an app, a token or a page      paused until Meta's own estimate, or broken until it is repaired
    one page goes unanswered       left alone for as long as the first rung of the ladder; that is nobody else's affair
    nearly nobody is answered      `storm`: the fault is ours or Meta's; nothing is asked but by one call at a time
Times are unix milliseconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import get_args

from ingest.meta.errors import AccessLost, Blocked, GraphError, OverBudget, Reason, Scope, Unavailable
from ingest.meta.graph import Usage
from ingest.meta.pages import PageAccess
from processors.access import AccessStates, Standing, State

FULL = 100.0  # percent; from here on Meta refuses
BACKGROUND = 75.0  # percent; what is left belongs to live leads
UNESTIMATED_MS = 300_000  # a pause without an estimate: Meta counts over an hour, and a call makes it longer
LONGEST_MS = 86_400_000  # Meta's longest window; what a header says beyond it is an error
BLOCKED_MS = 3_600_000  # policy blocks last hours
LOAD_MS = 3_600_000  # what a header said is true for no longer than the window it speaks of
ANSWERED = "answered"  # why a page is open that was in doubt
MISSING_IN_A_ROW = 5  # different leads of a page that are not there: then it is not the leads
UNANSWERED_MS, UNANSWERED_CALLS = 5_000, 3  # so long and so often, while others are answered: then it is the page
STORM_MS = 30_000
STORM_LEADS = 3  # a single lead that Meta cannot give says nothing about the others


@dataclass(slots=True)
class _Second:
    """The calls of one second: how they ended, for which pages, and for which leads in vain."""

    at: int
    answered: int = 0
    failed: int = 0
    pages: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    in_vain: set[str] = field(default_factory=set)


class Governor:
    """`quiet_ms` is how long a page that goes unanswered is left alone."""

    def __init__(self, states: AccessStates, *, clock: Callable[[], int], quiet_ms: int) -> None:
        self._states = states
        self._clock = clock
        self._quiet_ms = quiet_ms
        self._news: list[Standing] = []
        self._loads: dict[str, tuple[float, int]] = {}
        self._answered: dict[str, int] = {}  # by page: when it was last read from
        self._missing: dict[str, set[str]] = {}
        self._unanswered: dict[str, tuple[int, int]] = {}  # by page: since when, and how many calls
        self._quiet: dict[str, int] = {}  # by page: left alone until then
        self._seconds: deque[_Second] = deque()  # the calls of the last STORM_MS
        self.storm = False

    def news(self) -> list[Standing]:
        """What was decided since it was last asked, to be told to everyone."""
        told, self._news = self._news, []
        return told

    def standing(self, page: PageAccess, *, live: bool = True) -> Standing:
        """How the page stands for a call now. What is not live waits while less than a quarter of a budget is left."""
        known = self._states.standing(page)
        if known.state in ("paused", "broken"):
            return known
        quiet = self._quiet.get(page.page_id, 0)
        if quiet > self._clock():
            return Standing(state="paused", key=self._key(page), reason="unanswered", until=quiet)
        if not live and self._load(page) >= BACKGROUND:
            return Standing(
                state="paused", key=self._key(page), reason="background", until=self._clock() + UNESTIMATED_MS
            )
        return known

    def proven(self, page: PageAccess) -> bool:
        """Whether the last call for the page was answered: else the next one goes alone.

        Since a pause or a repair, also where it was another page that met the end of what they share.
        """
        if page.page_id in self._unanswered or page.page_id not in self._answered:
            return False
        changed = max(self._states.of(self._states.key(page, scope)).at for scope in get_args(Scope))
        return self._answered[page.page_id] >= changed

    def answered(self, page: PageAccess, usage: Usage, *, leads: int = 1) -> None:
        """So many leads of the page were given, one after another, with the same usage."""
        self._gave(page, usage, leads)
        self._answered[page.page_id] = self._clock()
        self._missing.pop(page.page_id, None)
        if self._states.of(self._key(page)).state == "doubtful":
            self._decide(page, "page", "open", ANSWERED)

    def gave_form(self, page: PageAccess, usage: Usage) -> None:
        """A form of the page was given, which says nothing of its leads: they need a permission of their own."""
        self._gave(page, usage, 1)

    def refused(self, page: PageAccess, error: GraphError, lead_id: str) -> Standing | None:
        """Meta refused a lead of the page: how that leaves the page, or None where it says nothing about it."""
        self._note(page, answered=0 if isinstance(error, Unavailable) else 1, lead_id=lead_id)
        match error:
            case Unavailable():
                self._count_unanswered(page)
                return None
            case OverBudget() | Blocked():
                return self._pause_for(page, error)
            case AccessLost(scope=scope, reason=reason):
                self._answered.pop(page.page_id, None)
                return self._decide(page, scope, "broken", reason)
            case _:
                return None

    def refused_form(self, page: PageAccess, error: OverBudget | Blocked) -> Standing:
        """The same, of a form: its budget is that of the page's leads."""
        self._note(page, answered=1)
        return self._pause_for(page, error)

    def missed(self, page: PageAccess, lead_id: str) -> Standing:
        """A lead of the page is not there, or may not be seen (100/33), though it was waited for."""
        missing = self._missing.setdefault(page.page_id, set())
        missing.add(lead_id)
        if len(missing) >= MISSING_IN_A_ROW:
            missing.clear()
            return self._decide(page, "page", "broken", "not-found")
        return self.doubt(page, "not-found")

    def doubt(self, page: PageAccess, reason: str) -> Standing:
        """A single record of the page is about to be parked, until another lead of the page is read."""
        known = self._states.of(self._key(page))
        return known if known.state != "open" else self._decide(page, "page", "doubtful", reason)

    def readable_since(self, page: PageAccess, since: int) -> bool:
        """Whether a lead of the page was read after a time, by this worker or the one before it."""
        known = self._states.of(self._key(page))
        told = known.at if known.state == "open" and known.reason == ANSWERED else 0
        return max(told, self._answered.get(page.page_id, 0)) > since

    @property
    def silent(self) -> bool:
        """Whether nobody was answered lately, of as many leads as tell something."""
        self._forget_seconds()
        return self._in_vain() and not any(second.answered for second in self._seconds)

    def _key(self, page: PageAccess) -> str:
        return self._states.key(page, "page")

    def _gave(self, page: PageAccess, usage: Usage, times: int) -> None:
        self._note(page, answered=times)
        self._unanswered.pop(page.page_id, None)
        self._observe(page, usage)

    def _pause_for(self, page: PageAccess, error: OverBudget | Blocked) -> Standing:
        self._answered.pop(page.page_id, None)
        if isinstance(error, Blocked):
            return self._pause(page, "token", error.reason, BLOCKED_MS)
        wait = round((error.regain_after or 0.0) * 1000) or UNESTIMATED_MS  # a pause of nothing would be a probe
        return self._pause(page, error.scope, error.reason, wait)

    def _pause(self, page: PageAccess, scope: Scope, reason: Reason, wait: int) -> Standing:
        until = self._clock() + min(wait, LONGEST_MS)
        known = self._states.of(self._states.key(page, scope))
        # Every call that was under way when the budget ran out brings the same estimate, a moment later.
        if known.state == "broken" or (known.state == "paused" and (known.until or 0) + 1000 >= until):
            return known
        return self._decide(page, scope, "paused", reason, until)

    def _decide(self, page: PageAccess, scope: Scope, state: State, reason: str, until: int | None = None) -> Standing:
        key = self._states.key(page, scope)
        known = self._states.of(key)
        decided = Standing(state=state, key=key, reason=reason, until=until, at=self._clock(), page_id=page.page_id)
        if replace(known, at=0, page_id=None) == replace(decided, at=0, page_id=None):
            return known
        self._states.put(decided)
        self._news.append(decided)
        return decided

    def _observe(self, page: PageAccess, usage: Usage) -> None:
        # Business use is keyed by the object whose budget it is, for leads the page; other kinds are not spent here.
        own = [use for use in usage.business if use.kind in ("leadgen", "pages")]
        loads = [use.load.fullest for use in own] + ([usage.page.fullest] if usage.page else [])
        if loads:
            regain = max((use.regain_after for use in own), default=0.0)
            self._hold_to(page, "page", "business-limit", max(loads), regain)
        if usage.app is not None:
            self._hold_to(page, "app", "app-limit", usage.app.fullest, 0.0)

    def _hold_to(self, page: PageAccess, scope: Scope, reason: Reason, load: float, regain: float) -> None:
        self._loads[self._states.key(page, scope)] = (load, self._clock())
        if load >= FULL or regain > 0:
            self._pause(page, scope, reason, round(regain * 1000) or UNESTIMATED_MS)

    def _load(self, page: PageAccess) -> float:
        scopes: tuple[Scope, ...] = ("app", "page")
        found = (self._loads.get(self._states.key(page, scope), (0.0, 0)) for scope in scopes)
        return max((load for load, at in found if self._clock() - at < LOAD_MS), default=0.0)

    def _count_unanswered(self, page: PageAccess) -> None:
        now = self._clock()
        since, calls = self._unanswered.get(page.page_id, (now, 0))
        self._unanswered[page.page_id] = since, calls + 1
        others = any(second.answered for second in self._seconds)
        if others and calls + 1 >= UNANSWERED_CALLS and now - since >= UNANSWERED_MS:
            self._quiet[page.page_id] = now + self._quiet_ms

    def _note(self, page: PageAccess, *, answered: int, lead_id: str = "") -> None:
        if answered and self.storm:  # a refusal is an answer: Meta is there again
            self.storm = False
            self._seconds.clear()
        self._forget_seconds()
        now = self._clock()
        if not self._seconds or now - self._seconds[-1].at >= 1000:  # noqa: PLR2004  a second
            self._seconds.append(_Second(now))
        second = self._seconds[-1]
        second.pages.add(page.page_id)
        if answered:
            second.answered += answered
            return
        second.failed += 1
        second.failing.add(page.page_id)
        second.in_vain.add(lead_id)
        most = sum(each.failed - each.answered for each in self._seconds) > 0
        if most and now - self._seconds[0].at >= STORM_MS - 2000 and self._in_vain():
            failing = set[str]().union(*(each.failing for each in self._seconds))
            pages = set[str]().union(*(each.pages for each in self._seconds))
            self.storm = 2 * len(failing) > len(pages)

    def _in_vain(self) -> bool:
        return len(set[str]().union(*(second.in_vain for second in self._seconds))) >= STORM_LEADS

    def _forget_seconds(self) -> None:
        while self._seconds and self._clock() - self._seconds[0].at > STORM_MS:
            self._seconds.popleft()
