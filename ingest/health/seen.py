"""What an examination has seen of Meta, before anybody judges it. Performs no I/O.

Where a call was refused or not answered, its GraphError stands in the answer's place; None was not asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.meta.errors import Blocked, GraphError, OverBudget, Unavailable
from ingest.meta.graph import Installed, Load, PageNode, Sample, Subscription, TokenFacts, Usage
from ingest.meta.pages import PageAccess

_NO_SUCH_APP = 101  # the app cannot be validated: developers.facebook.com/docs/graph-api/guides/error-handling
NotSubscribed = tuple[()]  # asked, and the app has no subscription to pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSeen:
    """A page, as its token and its app's see it."""

    page: PageAccess
    token: TokenFacts | GraphError | None = None
    node: PageNode | GraphError | None = None
    apps: tuple[Installed, ...] | GraphError | None = None
    leads: Sample | GraphError | None = None
    usages: tuple[Usage, ...] = ()

    @property
    def errors(self) -> tuple[GraphError, ...]:
        """What its calls met, in their order."""
        seen = (self.token, self.node, self.apps, self.leads)
        return tuple(each for each in seen if isinstance(each, GraphError))

    @property
    def load(self) -> Load | None:
        """The fullest budget that reading its leads is counted in."""
        own = [use.load for usage in self.usages for use in usage.business if use.kind in ("leadgen", "pages")]
        own += [usage.page for usage in self.usages if usage.page is not None]
        return max(own, key=lambda load: load.fullest, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSeen:
    """An app with its pages. `app_id` is None for pages whose app META_PAGES_FILE does not name."""

    app_id: str | None
    has_secret: bool
    refused: GraphError | None = None  # what a call with the app's own token met
    subscription: Subscription | GraphError | NotSubscribed | None = None
    pages: tuple[PageSeen, ...] = ()

    @property
    def load(self) -> Load | None:
        """The app's own budget, where it is fullest."""
        own = [usage.app for page in self.pages for usage in page.usages if usage.app is not None]
        return max(own, key=lambda load: load.fullest, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All of it. `skew` is how many seconds Meta's clock is ahead of ours."""

    apps: tuple[AppSeen, ...] = ()
    versions: frozenset[str] = frozenset()  # that served
    skew: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the door has received, by page, in unix milliseconds: the newest with values, and the newest without."""

    with_values: Mapping[str, int] = field(default_factory=dict)
    without_values: Mapping[str, int] = field(default_factory=dict)


def is_no_answer(error: object) -> bool:
    """Whether it says nothing of what was asked, and only that it was not answered now."""
    return isinstance(error, Unavailable | OverBudget | Blocked) and error.code != _NO_SUCH_APP
