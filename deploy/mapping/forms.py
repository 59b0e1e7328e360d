"""The forms that mapping files are held against: what `meta.leadgen.forms` has of them."""

import json
from collections.abc import Iterator

from deploy.sending import ReadsTopics
from ingest.records import FORMS, Topics
from schemas.shapes import Form


def read_forms(reader: ReadsTopics, topics: Topics) -> list[Form]:
    """Every version of every form that was seen, as it was last told. ReadingError where the topic cannot be read."""
    last: dict[bytes | None, bytes | None] = {}
    for received in reader.read(topics(FORMS)):
        last[received.key] = received.value
    return [form for value in last.values() if value is not None for form in _read(value)]


def _read(value: bytes) -> Iterator[Form]:
    """The form in a record; what is no form is left out, as `work fetch` does."""
    try:
        told = json.loads(value)
    except ValueError:
        return
    if isinstance(told, dict) and isinstance(told.get("form_id"), str) and isinstance(told.get("form"), dict):
        yield Form(
            form_id=told["form_id"],
            version=str(told.get("version")),
            page_id=told.get("page_id"),
            seen_at=int(told.get("seen_at") or 0),
            form=told["form"],
        )
