"""The admin's client: what tests, the demo and `leadstream sandbox deliver` use to make the double do things.

Synchronous, standard library only, every result typed (shapes.py). Each method is one request; errors are
GraphAdminError with the reason. `page`, `form` and `lead` are ids as Graph knows them.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Unpack

from deploy.sandbox.graph.shapes import (
    AppInfo,
    Calls,
    CraftedKind,
    Delivery,
    Fault,
    FaultKind,
    FormInfo,
    Health,
    How,
    Latency,
    PageInfo,
    PostInfo,
    Refused,
    Sent,
)

__all__ = ["Fault", "GraphAdmin", "GraphAdminError"]


class GraphAdminError(Exception):
    """The double refused what the admin asked for; the text says why."""


class GraphAdmin:
    """Talks to a double at `url` (`http://127.0.0.1:PORT`)."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout

    # ── the world ──

    def health(self) -> Health:
        """Raises OSError while nobody listens."""
        return Health(**self._ask("health"))

    def reset(self, *, pages: int = 3, history: int = 12) -> None:
        """Begin the world again: no faults, no calls, nothing acknowledged.

        Each form has `history` leads of the last 110 days, some of them past Meta's 90.
        """
        self._ask("reset", pages=pages, history=history)

    def set_clock(self, ahead: float) -> None:
        """The double's clock runs so many seconds ahead of the machine's."""
        self._ask("set_clock", ahead=ahead)

    def app(self) -> AppInfo:
        """The app: secrets, tokens, subscription."""
        return AppInfo(**self._ask("app"))

    def pages(self) -> list[PageInfo]:
        """Every page."""
        return [PageInfo(**page) for page in self._ask("pages")]

    def add_pages(self, count: int) -> list[PageInfo]:
        """More pages with two forms each; `settings(..., pages=N)` knows their tokens."""
        return [PageInfo(**page) for page in self._ask("add_pages", count=count)]

    def forms(self, page: str | None = None) -> list[FormInfo]:
        """Every form, or those of a page."""
        return [FormInfo(**form) for form in self._ask("forms", page=page)]

    def add_form(self, page: str, template: str, **fields: object) -> FormInfo:
        """One more form, from a template of forms.yaml; `fields` replace fields of its node (`name`, ...)."""
        return FormInfo(**self._ask("add_form", page=page, template=template, fields=fields))

    def edit_form(self, form: str, **fields: object) -> FormInfo:
        """Replace fields of a form's node (`status="ARCHIVED"`, `questions=...`); earlier leads keep theirs."""
        return FormInfo(**self._ask("edit_form", form=form, fields=fields))

    def questions(self, form: str) -> list[dict[str, Any]]:
        """A form's questions as `edit_form` takes them back."""
        return list(self._ask("questions", form=form))

    def make_leads(self, form: str, count: int, *, age: float = 0.0, over: float = 0.0) -> list[str]:
        """Leads nobody is told about, submitted evenly over `over` seconds that ended `age` seconds ago; their ids."""
        return list(self._ask("make_leads", form=form, count=count, age=age, over=over))

    def make_lead(self, form: str, fields: Mapping[str, object], *, age: float = 0.0, is_test: bool = False) -> str:
        """One lead with chosen fields (None removes one) instead of invented ones, announced to nobody; its id."""
        return str(self._ask("make_lead", form=form, fields=fields, age=age, is_test=is_test))

    def delete_lead(self, lead: str) -> None:
        """The lead is gone: 100/33 from now on."""
        self._ask("delete_lead", lead=lead)

    def lead(self, lead: str) -> dict[str, Any]:
        """Every field of a lead, whatever tokens and faults say; also of a deleted one. Not counted as a call."""
        answer: dict[str, Any] = self._ask("lead", lead=lead)
        return answer

    def lead_ids(self, form: str) -> list[str]:
        """Every lead of a form that can be read, newest first."""
        return list(self._ask("lead_ids", form=form))

    def download(self, form: str, *, style: str = "ads_manager") -> bytes:
        """A file as downloaded by hand: `ads_manager` (UTF-16LE, tabs, prefixed ids) or `ads_manager_csv` (UTF-8)."""
        return bytes.fromhex(self._ask("download", form=form, style=style))

    # ── deliveries ──

    def deliver(self, url: str, leads: int = 10, **how: Unpack[How]) -> Delivery:
        """Make leads over the forms (all, or those `how` names) and announce them to `url` in the background.

        A POST that is not answered 200 is repeated at once and then after 10 s, 1, 5, 15, 60, 60... minutes, all of it
        times `time_scale` (0.01), until 36 hours times `time_scale` are over.
        """
        return Delivery(**self._ask("deliver", url=url, leads=leads, **how))

    def progress(self, job: int) -> Delivery:
        """Where a delivery stands."""
        return Delivery(**self._ask("progress", job=job))

    def wait(self, job: int, *, timeout: float = 300.0, every: float = 0.05) -> Delivery:
        """Wait until a delivery is finished; raises TimeoutError, and GraphAdminError when it broke."""
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
        """Every POST of a delivery with the status of each attempt."""
        return [PostInfo(**post) for post in self._ask("posts", job=job)]

    def send(self, url: str, kind: CraftedKind, *, form: str | None = None, field: str = "feed") -> Sent:
        """One crafted POST (see shapes.CraftedKind), sent once and not repeated; makes the leads it needs on `form`."""
        return Sent(**self._ask("send", url=url, kind=kind, form=form, field=field))

    def acknowledged(self) -> list[str]:
        """The ids of all leads whose announcement was ever answered 200 (kept over restarts)."""
        return list(self._ask("acknowledged"))

    # ── calls ──

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
        """How many calls match; times are unix seconds of the machine; `token` is a name as in `Calls.by_token`."""
        return Calls(
            **self._ask("calls", page=page, endpoint=endpoint, token=token, lead=lead, since=since, until=until)
        )

    def lead_calls(
        self, *, page: str | None = None, since: float | None = None, until: float | None = None
    ) -> dict[str, int]:
        """How often each lead was asked for by its id, alone or in a batch."""
        return dict(self._ask("lead_calls", page=page, since=since, until=until))

    def forget_calls(self) -> None:
        """Empty the log of calls."""
        self._ask("forget_calls")

    # ── trouble ──

    def fault(self, kind: FaultKind, **fault: Any) -> int:
        """Put a fault in force; its number. See shapes.Fault: filters, `calls`, `share`, `code`, `subcode`, ..."""
        return int(self._ask("set_fault", **asdict(Fault(kind=kind, **fault))))

    def lift(self, fault: int | None = None) -> int:
        """Lift one fault, or all; how many calls they met."""
        return int(self._ask("lift", fault=fault))

    def met(self, fault: int) -> int:
        """How many calls a fault in force has met so far."""
        return int(self._ask("met", fault=fault))

    def set_latency(self, seconds: float, *, jitter: float = 0.0, endpoint: str | None = None) -> None:
        """An endpoint (None: all that have no latency of their own) takes `seconds` and up to `jitter` more."""
        self._ask("set_latency", **asdict(Latency(seconds=seconds, jitter=jitter, endpoint=endpoint)))

    def kill_token(self, page: str, *, subcode: int = 460) -> None:
        """The page's token meets 190 with this subcode."""
        self._ask("kill_token", page=page, subcode=subcode)

    def repair_token(self, page: str) -> None:
        """The same token lives again."""
        self._ask("repair_token", page=page)

    def replace_token(self, page: str) -> str:
        """The page's new token; the one before is dead (190/460)."""
        return str(self._ask("replace_token", page=page))

    def describe_token(
        self,
        page: str,
        *,
        expires_at: int = 0,
        data_access_expires_at: int = 0,
        missing_scopes: Sequence[str] = (),
        elsewhere: Sequence[str] = (),
        issued_at: int = 0,
    ) -> None:
        """What debug_token says of the page's token, and what follows: unix seconds, 0 is never (or a far default).

        Scopes `elsewhere` were granted for another page only.
        """
        self._ask(
            "describe_token",
            page=page,
            expires_at=expires_at,
            data_access_expires_at=data_access_expires_at,
            missing_scopes=list(missing_scopes),
            elsewhere=list(elsewhere),
            issued_at=issued_at,
        )

    def revoke_access(self, page: str, *, how: Refused = "100/33") -> None:
        """The page's leads and forms may not be read; `has_lead_access` says so too."""
        self._ask("revoke_access", page=page, how=how)

    def restore_access(self, page: str) -> None:
        """They may be read again."""
        self._ask("restore_access", page=page)

    def hide_fields(self, page: str, fields: Sequence[str], *, code: int = 100, omit: bool = False) -> None:
        """Lead fields the page's token may not read: asking fails with `code`, or with `omit` they are just not there.

        Code 3 was seen for `post_submission_check_result` (facebook-java-business-sdk#450). [] shows all again.
        """
        self._ask("hide_fields", page=page, fields=list(fields), code=code, omit=omit)

    def throttle(self, page: str, *, seconds: float) -> None:
        """The page is over its budget for so long: 80005, and the header says how many minutes are left. 0 ends it."""
        self._ask("throttle", page=page, seconds=seconds)

    def set_budget(self, page: str, *, calls: int | None, window: float | None = None) -> None:
        """So many calls in a rolling window of so many seconds (24 h); None is Meta's formula."""
        self._ask("set_budget", page=page, calls=calls, window=window)

    def set_app_budget(self, calls: int | None) -> None:
        """So many calls an hour for the whole app, beyond it #4; None for no limit."""
        self._ask("set_app_budget", calls=calls)

    def set_limits(self, *, leads: int = 1000, page_usage: bool = False) -> None:
        """A bulk read of more than `leads` at once is 1/99; `page_usage` sends X-Page-Usage as well."""
        self._ask("set_limits", leads=leads, page_usage=page_usage)

    def require_proof(self, required: bool = True) -> None:
        """The app's "Require App Secret" switch: calls without appsecret_proof are refused."""
        self._ask("require_proof", required=required)

    def subscribe_app(
        self, url: str | None, *, fields: Sequence[str] = ("leadgen",), include_values: bool = True
    ) -> None:
        """Set the app's callback without a handshake; None takes it away. Test leads of the API are announced there."""
        self._ask("subscribe_app", url=url, fields=list(fields), include_values=include_values)

    def subscribe_page(self, page: str, fields: Sequence[str] = ("leadgen",)) -> None:
        """What the app listens to on a page; [] removes it there."""
        self._ask("subscribe_page", page=page, fields=list(fields))

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
