"""The admin's client: what tests, the demo and `leadstream sandbox deliver` use to make the double do things.

Synchronous, standard library only, every result typed. Each method is one request; errors are GraphAdminError with the reason.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.sandbox.graph.webhooks import AdStyle, IdStyle


class GraphAdminError(Exception):
    """The double refused what the admin asked for; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Which world answers; `now` is its clock in unix seconds."""

    seed: int
    pages: int
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PageInfo:
    """A page; `token` is its current one, `token_subcode` what kills it, `refused_as` how reading its leads is refused."""

    page_id: str
    name: str
    app_id: str
    token: str
    token_subcode: int | None
    refused_as: str | None
    subscribed_fields: Sequence[str]
    form_ids: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormInfo:
    """A form; `leads` counts all that were ever made."""

    form_id: str
    page_id: str
    name: str
    template: str
    locale: str
    status: str
    ad_ids: Sequence[str]
    leads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where a delivery stands: leads made, announced and acknowledged (distinct), POSTs, and how often each answer came.

    `answers` counts attempts by status, `connection` or `timeout`.
    """

    job: int
    finished: bool
    failure: str | None
    made: int
    announced: int
    acknowledged: int
    posts: int
    posts_open: int
    posts_given_up: int
    answers: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostInfo:
    """One POST of a delivery, with what each attempt was answered."""

    number: int
    leads: Sequence[str]
    statuses: Sequence[str]
    acknowledged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How many calls matched; `first` and `last` in unix seconds. Keys of `by_code` are error codes, "0" is an answer."""

    total: int
    in_batches: int
    first: float | None
    last: float | None
    by_endpoint: Mapping[str, int]
    by_page: Mapping[str, int]
    by_token: Mapping[str, int]
    by_code: Mapping[str, int]


class GraphAdmin:
    """Talks to a double at `url` (`http://127.0.0.1:PORT`)."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    def health(self) -> Health:
        """Raises OSError while nobody listens."""
        return Health(**self._ask("health"))

    def reset(self, *, pages: int = 3, history: int = 12) -> None:
        """Begin the world again: no faults, no calls, nothing acknowledged; each form has `history` leads of the last 110 days."""
        self._ask("reset", pages=pages, history=history)

    def pages(self) -> list[PageInfo]:
        """Every page."""
        return [PageInfo(**page) for page in self._ask("pages")]

    def forms(self, page: str | None = None) -> list[FormInfo]:
        """Every form, or those of a page."""
        return [FormInfo(**form) for form in self._ask("forms", page=page)]

    def make_leads(self, form: str, count: int, *, age: float = 0.0, over: float = 0.0) -> list[str]:
        """Leads nobody is told about, submitted evenly over `over` seconds that ended `age` seconds ago; their ids."""
        return list(self._ask("make_leads", form=form, count=count, age=age, over=over))

    def make_lead(
        self, form: str, fields: Mapping[str, object], *, age: float = 0.0, is_test: bool = False
    ) -> str:
        """One lead with chosen fields (None removes one) instead of invented ones, announced to nobody; its id."""
        return str(self._ask("make_lead", form=form, fields=fields, age=age, is_test=is_test))

    def delete_lead(self, lead: str) -> None:
        """The lead is gone: 100/33 from now on."""
        self._ask("delete_lead", lead=lead)

    def lead(self, lead: str) -> dict[str, Any]:
        """Every field of a lead, whatever tokens and faults say; also of a deleted one."""
        answer: dict[str, Any] = self._ask("lead", lead=lead)
        return answer

    def deliver(
        self,
        url: str,
        leads: int = 10,
        *,
        forms: Sequence[str] | None = None,
        page: str | None = None,
        changes_per_post: int = 1,
        pages_per_post: int = 1,
        ids: IdStyle = "mixed",
        ads: AdStyle = "mixed",
        shuffle: bool = False,
        duplicates: float = 0.0,
        dropped: float = 0.0,
        concurrency: int = 8,
        rate: float | None = None,
        time_scale: float = 0.01,
        give_up: float | None = None,
        timeout: float = 20.0,
        race: float = 0.0,
        secret: str | None = None,
    ) -> Delivery:
        """Make leads over the forms (of the page, or all) and announce them to `url` in the background.

        `duplicates` and `dropped` are shares of leads announced twice or never; `rate` is in leads per second. A POST that is
        not answered 200 within `timeout` seconds is repeated at once and then after 10 s, 1, 5, 15, 60 minutes..., all times
        `time_scale`, until 36 h times `time_scale` (or `give_up` seconds) are over. For `race` seconds after its first
        announcement a lead cannot be read yet (100/33).
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "forms", "page")}
        if forms is not None:
            options["forms"] = list(forms)
        return Delivery(**self._ask("deliver", page=page, **options))

    def progress(self, job: int) -> Delivery:
        """Where a delivery stands."""
        return Delivery(**self._ask("progress", job=job))

    def wait(self, job: int, *, timeout: float = 300.0, every: float = 0.05) -> Delivery:
        """Wait until a delivery is finished; raises TimeoutError."""
        end = time.monotonic() + timeout
        while not (delivery := self.progress(job)).finished:
            if time.monotonic() > end:
                raise TimeoutError(f"delivery {job} is not finished after {timeout} s: {delivery}")
            time.sleep(every)
        if delivery.failure:
            raise GraphAdminError(f"delivery {job} failed: {delivery.failure}")
        return delivery

    def stop(self, job: int) -> Delivery:
        """End a delivery; what was not sent stays unsent."""
        return Delivery(**self._ask("stop", job=job))

    def posts(self, job: int) -> list[PostInfo]:
        """Every POST of a delivery."""
        return [PostInfo(**post) for post in self._ask("posts", job=job)]

    def acknowledged(self) -> list[str]:
        """The ids of all leads whose announcement was ever answered 200 (kept over restarts)."""
        return list(self._ask("acknowledged"))

    def calls(
        self,
        *,
        page: str | None = None,
        endpoint: str | None = None,
        token: str | None = None,
        lead: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Calls:
        """How many calls match; times are unix seconds of the machine's clock."""
        filters = {"page": page, "endpoint": endpoint, "token": token, "lead": lead, "since": since, "until": until}
        return Calls(**self._ask("calls", **filters))

    # Any: JSON; every public method above gives its result a type.
    def _ask(self, verb: str, **arguments: object) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the URL is the double's, given by the caller
            f"{self.url}/_admin/{verb}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310 - as above
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise GraphAdminError(f"{verb}: {json.load(error)['error']}") from None
