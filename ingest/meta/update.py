"""One `leadgen_update` change: what it says of a lead that exists already. Performs no I/O of its own.

Meta documents the field by its name alone (`Page.SubscribedFields` of its SDK), and what the App Dashboard sends as its
sample is all that is known of its shape. So only the lead is needed, anything else unusable is None, and the value is
kept as it was sent.
"""

from dataclasses import dataclass
from typing import Self

from ingest.meta.graph.text import encodable
from ingest.meta.notification import BadChange, id_or_none, is_sample, lead_of, opened, seconds_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a record of `meta.leadgen.updates` says."""

    lead_id: str
    page_id: str | None
    form_id: str | None
    ad_id: str | None
    adgroup_id: str | None
    updated_time: int | None  # unix seconds; Meta sends them as text
    area: str | None  # an open enum, as `event` is
    event: str | None
    updated_fields: tuple[str, ...]  # names, without what they are now
    sample: bool  # the dashboard's, whose lead does not exist at Meta
    value: str  # the change's `value`: the JSON text that Meta sent

    @classmethod
    def read(cls, change: bytes, *, page_id: str | None = None) -> Self:
        """From the value of a record. `page_id` is that of the entry it came in, for a change that does not name one.

        BadChange when it is no update, or names no lead.
        """
        field, value, text = opened(change)
        if field != "leadgen_update":
            raise BadChange("not-an-update")
        names = value.get("updated_fields")
        return cls(
            lead_id=lead_of(value),
            page_id=id_or_none(value.get("page_id")) or id_or_none(page_id),
            form_id=id_or_none(value.get("form_id")),
            ad_id=id_or_none(value.get("ad_id")),
            adgroup_id=id_or_none(value.get("adgroup_id")),
            updated_time=seconds_or_none(value.get("updated_time")),
            area=_text(value.get("area")),
            event=_text(value.get("event")),
            updated_fields=tuple(filter(None, map(_text, names))) if isinstance(names, list) else (),
            sample=is_sample(value),
            value=text,
        )


def _text(value: object) -> str | None:
    return encodable(value) if isinstance(value, str) else None
