"""One `leadgen` change: which lead it names, and nothing it does not say. Performs no I/O of its own.

A notification holds ids, never an answer. Meta sends ids as integers and as strings, and beyond 2^53, so here they are
text; what is no id is refused by name, because a float's digits are gone already.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from ingest.meta import verbatim

SAMPLE_LEAD = "444444444444"

Reason = Literal[
    "not-json",  # a record that was read from its topic: a delivery that is no JSON is refused whole
    "not-an-update",  # a record of the topic of updates only
    "entry-not-an-object",
    "changes-not-a-list",
    "change-not-an-object",
    "value-not-an-object",
    "lead-id-missing",
    "lead-id-not-an-id",
    "page-id-missing",
    "page-id-not-an-id",
]


class BadChange(Exception):
    """A change of which nothing can ever be made; `reason` is from a closed list and quotes nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class NotAnId(ValueError):
    """A boolean, a float, or a text that is no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a raw record says of a lead. Only the lead and its page are needed; anything else unusable is None."""

    lead_id: str
    page_id: str
    form_id: str | None
    ad_id: str | None
    adgroup_id: str | None  # the ad set, by the name it had when webhooks were made
    created_time: int | None  # unix seconds
    sample: bool  # the dashboard's, which does not exist at Meta
    value: str  # the change's `value`: the JSON text that Meta sent

    @classmethod
    def read(cls, change: bytes, *, page_id: str | None = None) -> Self:
        """From a raw record's value. `page_id` is the record's key, for a change that does not name its page.

        BadChange when no lead or no page can be read from it.
        """
        _, value, text = opened(change)
        return cls(
            lead_id=lead_of(value),
            page_id=page_of(value, page_id),
            form_id=id_or_none(value.get("form_id")),
            ad_id=id_or_none(value.get("ad_id")),
            adgroup_id=id_or_none(value.get("adgroup_id")),
            created_time=seconds_or_none(value.get("created_time")),
            sample=is_sample(value),
            value=text,
        )


def opened(change: bytes) -> tuple[object, Mapping[str, object], str]:
    """A change's field, its value, and the JSON text that Meta sent of that; BadChange when it has no such value."""
    if (ordinary := _ordinary(change)) is not None:
        return ordinary
    try:
        members = verbatim.read(change, _CHANGE).value
    except ValueError:
        raise BadChange("not-json") from None
    if not isinstance(members, dict):
        raise BadChange("change-not-an-object")
    part = members.get("value") or _ABSENT
    return members.get("field"), object_of(part.value), part.text.decode("utf-8", "surrogatepass")


def _ordinary(change: bytes) -> tuple[str, Mapping[str, object], str] | None:
    """What `opened` gives, of a change as Meta writes it: an object and its field, and nothing else."""
    found = _ORDINARY.fullmatch(change)
    if found is None:
        return None
    try:
        text = (found["value"] or found["last"]).decode()
        # The whole of it is one object, so there is no second member that a reader would have to choose from.
        value: Mapping[str, object] = verbatim.quick(text) or _VALUE.decode(text)
    except (ValueError, RecursionError):
        return None
    return (found["field"] or found["first"]).decode(), value, text


def coerce_id(value: object) -> str | None:
    """An id as text; None for what Meta sends for no id: nothing, null, 0, "0" and "". NotAnId for anything else.

    Ids are digits (15 to 17 of them for a lead), so nothing else is ever put into the path of a call.
    """
    if type(value) is str and value.isdigit() and value.isascii() and value[0] != "0" and len(value) <= _MAX_DIGITS:
        return value  # as nearly always
    text = digits_of(value)
    if text is not None:
        return text if text.strip("0") else None
    if value is None or value == "":
        return None
    raise NotAnId


def digits_of(value: object) -> str | None:
    """The text of a whole number that is not negative, sent as a number or as text; None for anything else."""
    if isinstance(value, str):
        if len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
            return value
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_DIGITS:
        return str(value)
    return None


def is_sample(value: Mapping[str, object]) -> bool:
    """Whether a change's value is what the App Dashboard's "Test" button sends: a lead that does not exist."""
    return value.get("leadgen_id") in (SAMPLE_LEAD, int(SAMPLE_LEAD))


def object_of(value: object) -> Mapping[str, object]:
    """A change's value, which has to be an object; BadChange otherwise."""
    if not isinstance(value, dict):
        raise BadChange("value-not-an-object")
    return value


def lead_of(value: Mapping[str, object]) -> str:
    """The lead that a change's value names; BadChange when there is none."""
    try:
        lead = coerce_id(value.get("leadgen_id"))
    except NotAnId:
        raise BadChange("lead-id-not-an-id") from None
    if lead is None:
        raise BadChange("lead-id-missing")
    return lead


def page_of(value: Mapping[str, object], otherwise: str | None) -> str:
    """The page that a change's value names, else the one it came under; BadChange when there is none."""
    try:
        page = coerce_id(value.get("page_id")) or otherwise
    except NotAnId:
        raise BadChange("page-id-not-an-id") from None
    if page is None:
        raise BadChange("page-id-missing")
    return page


def id_or_none(value: object) -> str | None:
    """An id that may as well be missing: the lead can be had without it, and the change's text still holds it."""
    try:
        return coerce_id(value)
    except NotAnId:
        return None


def seconds_or_none(value: object) -> int | None:
    """A moment in unix seconds, sent as a number or as text; None for what is none."""
    seconds = int(id_or_none(value) or 0)
    return seconds if 0 < seconds < _FAR_FUTURE else None


_MAX_DIGITS = 64
_FAR_FUTURE = 10**11  # the year 5138: beyond it a date cannot be made of it
_ORDINARY = re.compile(
    (
        rb'\{\s*"value"\s*:\s*(?P<value>\{.*\})\s*,\s*"field"\s*:\s*"(?P<field>[a-z_]+)"\s*\}'
        rb'|\{\s*"field"\s*:\s*"(?P<first>[a-z_]+)"\s*,\s*"value"\s*:\s*(?P<last>\{.*\})\s*\}'
    ).replace(rb"\s", rb"[ \t\n\r]"),  # which is all that JSON takes for space
    re.DOTALL,
)
_VALUE = json.JSONDecoder(parse_int=verbatim.integer, parse_constant=verbatim.refuse)
_CHANGE = verbatim.members({"value": verbatim.part})
_ABSENT = verbatim.Part(None, b"")
