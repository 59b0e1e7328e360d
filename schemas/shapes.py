"""The records of our topics as Python types, so that mypy holds those who write and read them to the schemas.

A contract test holds each type to its Avro schema, or, for JSON, to the examples.
"""

from datetime import date, datetime
from typing import Literal, NotRequired, TypedDict

Completeness = Literal["FULL", "REDUCED", "EXPORT"]
Evidence = Literal["NONE", "ANSWERED", "REQUIRED"]


class LeadDetails(TypedDict):
    """LeadDetails.avsc, which documents each field. Times are in UTC."""

    lead_id: str
    page_id: str | None
    form_id: str | None
    answer: str
    completeness: Completeness
    missing_fields: list[str]
    source: str
    api_version: str | None
    change: str | None
    form: str | None
    form_version: str | None
    received_at: datetime | None
    fetched_at: datetime


class Answer(TypedDict):
    """The answer to one question, inside a Lead."""

    key: str
    question: str | None
    type: str | None
    values: list[str]
    option_texts: list[str | None]
    is_tracking: bool
    is_sensitive: bool


class Disclaimer(TypedDict):
    """One checkbox of a form's custom disclaimer, inside a Lead."""

    key: str
    text: str | None
    is_required: bool | None
    is_checked_by_default: bool | None
    is_checked: bool | None
    evidence: Evidence


class Problem(TypedDict):
    """A field that could not be filled, inside a Lead."""

    field: str
    key: str | None
    code: str


class Lead(TypedDict):
    """Lead.avsc, which documents each field. Times are in UTC."""

    lead_id: str
    created_at: datetime | None
    received_at: datetime | None
    fetched_at: datetime | None
    source: str
    completeness: Completeness
    missing_fields: list[str]
    is_test: bool

    page_id: str | None
    form_id: str | None
    form_name: str | None
    form_locale: str | None
    form_version: str | None

    platform: str | None
    is_organic: bool | None
    ad_id: str | None
    ad_name: str | None
    adset_id: str | None
    adset_name: str | None
    campaign_id: str | None
    campaign_name: str | None
    partner_name: str | None
    retailer_item_id: str | None

    email: str | None
    work_email: str | None
    phone: str | None
    phone_verified: bool | None
    work_phone: str | None
    whatsapp: str | None
    full_name: str | None
    first_name: str | None
    last_name: str | None
    date_of_birth: date | None
    gender: str | None
    marital_status: str | None
    relationship_status: str | None
    education_level: str | None
    military_status: str | None
    company_name: str | None
    job_title: str | None
    website: str | None
    street_address: str | None
    address_line_two: str | None
    city: str | None
    state: str | None
    post_code: str | None
    country: str | None

    answers: list[Answer]

    privacy_policy_url: str | None
    privacy_policy_text: str | None
    disclaimer_title: str | None
    disclaimer_text: str | None
    disclaimers: list[Disclaimer]

    home_listing: str | None
    vehicle: str | None
    post_submission_check_result: str | None
    other_fields: str | None

    problems: list[Problem]


class LeadUpdate(TypedDict):
    """LeadUpdate.avsc, which documents each field. Times are in UTC."""

    lead_id: str
    updated_at: datetime | None
    received_at: datetime | None
    source: str
    is_sample: bool

    page_id: str | None
    form_id: str | None
    ad_id: str | None
    adgroup_id: str | None

    area: str | None
    event: str | None
    updated_fields: list[str]

    value: str


class Form(TypedDict):
    """A record of `meta.leadgen.forms`: a form as it was, one for each version seen, told again when it has news."""

    form_id: str
    version: str  # sha256 hex of name, locale, questions, options and legal text
    page_id: str | None
    seen_at: int  # unix milliseconds, rising with each record of a form
    # unix milliseconds, rising: when it was first seen as the current version, and again after another one; where it is
    # left out, as the first workers did, since `seen_at`
    since: NotRequired[list[int]]
    form: dict[str, object]  # the Graph node as read, without counters; its `status` is that of the last look


class Fate(TypedDict):
    """A record of `meta.leadgen.fates`: what became of a record where its output does not tell."""

    fate: str  # fetched, waiting, parked, dead, skipped, duplicate; released, redriven: what lay there was sent back
    stage: str
    origin: str  # <partition>@<offset> of the raw record, or dead:<partition>@<offset> of the door's dead letter
    reason: str
    page_id: str | None
    lead_id: str | None
    topic: str  # with partition and offset: where the record lay when its fate was decided
    partition: int
    offset: int


class Health(TypedDict):
    """A record of `meta.access` under `health:<page id>`: what is found of a page's access. The last one wins."""

    page_id: str
    app_id: str | None
    findings: dict[str, str]  # by code, or code/what it is about: `wrong` or `warning`; its app's are among them
    token_expires_at: int | None  # unix milliseconds; 0 is never, and null not known
    data_access_expires_at: int | None
    at: int  # unix milliseconds: since when it is so


class Access(TypedDict):
    """A record of `meta.access`: whether an app, a token or a page may be asked now. The last one of a key wins."""

    state: str  # open; doubtful: asked as ever, but some of its leads wait; paused: until then; broken: until repaired
    until: int | None  # unix milliseconds, where it is paused
    reason: str
    at: int  # unix milliseconds
    page_id: str | None  # the page whose lead was asked for
