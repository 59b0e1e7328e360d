"""A form as it was when a person filled it in: a snapshot, and the version that names it. Performs no I/O."""

import hashlib
from dataclasses import dataclass

from ingest.meta.graph.text import Json, JsonObject, canonical

_COUNTERS = frozenset({"leads_count", "organic_leads_count", "expired_leads_count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A form's node as canonical JSON text without counters, and the version of what it showed: a sha256 in hex."""

    text: str
    version: str


def snapshot(form: JsonObject) -> Snapshot:
    """The form as it was read, and the version of what a person was shown: name, locale, questions, legal text.

    Neither depends on the order of keys; that of questions, options and checkboxes counts, as it was shown.
    """
    shown: JsonObject = {
        "name": form.get("name"),
        "locale": form.get("locale"),
        "questions": _without_photos(form.get("questions")),
        "legal_content": form.get("legal_content"),
        "privacy_policy_url": form.get("privacy_policy_url"),
    }
    kept: JsonObject = {name: value for name, value in form.items() if name not in _COUNTERS}
    return Snapshot(text=canonical(kept), version=hashlib.sha256(canonical(shown).encode()).hexdigest())


def _without_photos(value: Json) -> Json:
    # An option's photo is a signed address, another one at every read.
    if isinstance(value, list):
        return [_without_photos(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_photos(item) for name, item in value.items() if name != "photo"}
    return value
