"""A details record, whoever read the lead: the worker that was told of it, a bulk read, an export. Performs no I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from ingest.codec import Codec
from ingest.meta.graph import Snapshot
from ingest.records import DETAILS, Headers, Record, headers
from schemas.shapes import Completeness, LeadDetails

# A poorer one never replaces a richer one.
RICHNESS: dict[Completeness, int] = {"EXPORT": 1, "REDUCED": 2, "FULL": 3}


def lead_details(
    *,
    lead_id: str,
    page_id: str | None,
    form_id: str | None,
    answer: str,
    completeness: Completeness,
    missing_fields: Sequence[str],
    source: str,
    api_version: str | None,
    form: Snapshot | None,
    fetched_at: int,
    change: str | None = None,
    received_at: int | None = None,
) -> LeadDetails:
    """LeadDetails.avsc, which documents each field. Times are unix milliseconds."""
    return {
        "lead_id": lead_id,
        "page_id": page_id,
        "form_id": form_id,
        "answer": answer,
        "completeness": completeness,
        "missing_fields": list(missing_fields),
        "source": source,
        "api_version": api_version,
        "change": change,
        "form": form.text if form else None,
        "form_version": form.version if form else None,
        "received_at": None if received_at is None else _time(received_at),
        "fetched_at": _time(fetched_at),
    }


def details_record(details: LeadDetails, codec: Codec[LeadDetails], told: Headers) -> Record:
    """The record for `meta.leadgen.details`, with what is `told` of it besides; DoesNotFit."""
    said = told + _SAID[details["completeness"]]
    return Record(topic=DETAILS, key=details["lead_id"].encode(), value=codec.encode(details), headers=said)


_SAID: dict[Completeness, Headers] = {each: headers({"completeness": each}) for each in RICHNESS}


@lru_cache(maxsize=256)  # the leads of a batch are fetched within a millisecond, those of a delivery came in one
def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
