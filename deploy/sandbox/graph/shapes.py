"""What the admin and the double tell each other: both ends build these, so they cannot drift apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

IdStyle = Literal["integer", "string", "mixed"]
"""How a webhook writes ids: Meta does both (domain notes, section 1.4)."""
AdStyle = Literal["absent", "null", "zero", "mixed"]
"""How a webhook says that a lead has no ad."""
FaultKind = Literal[
    "error",  # Graph's envelope with `code` and `subcode`
    "status",  # HTTP `status` (503) with the text `body`
    "html",  # a page of HTML, HTTP `status` (502)
    "empty",  # no body at all, HTTP `status` (200)
    "unavailable",  # HTTP 200 with the text "Service Unavailable"
    "truncated",  # the real answer, cut in half: not JSON any more
    "short",  # the connection closes in the middle of the body
    "hang",  # no answer ever; in a batch the item is null
    "reset",  # the connection is reset; in a batch the item is null
    "null",  # the item of a batch is null; calls outside a batch are not met
    "headers",  # the real answer; only `headers` are changed
]
Refused = Literal["100/33", "10", "200"]
"""How reading leads is refused when access was taken away: Graph shows any of these."""
CraftedKind = Literal[
    "leadgen",  # one lead, as usual
    "leadgen_update",  # the qualification of a lead changed
    "other_field",  # a change of another field, with text that has to be escaped
    "changed_fields",  # "Include Values" is off: names of fields and no values
    "dashboard_sample",  # the dashboard's Test button: lead 444444444444 twice, entry id "0"
    "unsigned",  # a lead without a signature
    "wrong_signature",  # a lead signed with another secret
    "crm_setup",  # the flat shape of Business Suite's "CRM setup"
    "one_bad_change",  # three leads and, among them, a change that cannot be read
    "deleted_lead",  # a lead that is gone before it can be fetched
    "test_lead",  # a lead of the testing tool
    "not_json",  # a signed body that is no JSON
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Which world answers; `now` is its clock in unix seconds."""

    seed: int
    pages: int
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppInfo:
    """The app: what it was given, where its webhooks go, and tokens to call Graph with."""

    app_id: str
    secret: str
    verify_token: str
    token: str
    user_token: str
    foreign_app_id: str
    foreign_secret: str
    callback_url: str | None
    fields: Sequence[str]
    include_values: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageInfo:
    """A page; `token` is its current one, `token_subcode` what killed it, `refused_as` how its leads are refused."""

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


class How(TypedDict, total=False):
    """How leads are announced; defaults are those of deliver.Order. Seconds, leads per second, shares from 0 to 1."""

    page: str  # only forms of this page
    forms: Sequence[str]  # only these forms
    changes_per_post: int  # 1 to 1000
    pages_per_post: int  # so many neighbouring pages share a POST
    ids: IdStyle
    ads: AdStyle
    shuffle: bool  # announce in random order
    duplicates: float  # this share of the leads is announced a second time
    dropped: float  # this share is never announced
    concurrency: int  # POSTs under way at once
    rate: float  # leads per second
    time_scale: float  # Meta's retry delays and its 36 hours, times this
    give_up: float  # seconds after which a POST is given up, instead of 36 hours times time_scale
    timeout: float  # seconds a POST may take
    race: float  # seconds after its first announcement in which a lead cannot be read yet (100/33)
    secret: str  # sign with this instead of the app's secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where a delivery stands: leads made, announced and acknowledged (distinct ones), POSTs, and the answers.

    `answers` counts attempts by HTTP status, `connection` or `timeout`.
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
class Sent:
    """One crafted POST: the answer's status (or `connection`, `timeout`) and text, and the leads it was about."""

    kind: CraftedKind
    status: str
    answer: str
    leads: Sequence[str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How many calls matched; `first` and `last` in unix seconds.

    `by_code`: "0" is an answer, "-1" a broken one, else it is Graph's code. Each item of a batch is a call of its own;
    the batch itself is one more, of endpoint `batch`.
    """

    total: int
    in_batches: int
    first: float | None
    last: float | None
    by_endpoint: Mapping[str, int]
    by_page: Mapping[str, int]
    by_token: Mapping[str, int]
    by_code: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong for the calls that match every filter given, `calls` times or until lifted.

    `endpoint` is what Calls.by_endpoint names (`batch` is the whole of one: it has no page, form or lead). `share` is
    the chance that a matching call is met. `headers` are set on the answer (None removes one).
    """

    kind: FaultKind
    endpoint: str | None = None
    app: str | None = None
    page: str | None = None
    form: str | None = None
    lead: str | None = None
    token: str | None = None
    calls: int | None = None
    share: float = 1.0
    code: int = 2
    subcode: int | None = None
    status: int | None = None
    body: str = ""
    headers: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """An endpoint (None: all others) takes `seconds` and up to `jitter` more."""

    seconds: float
    jitter: float = 0.0
    endpoint: str | None = None
