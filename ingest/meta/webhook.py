"""What Meta's webhook says: who signed it, and one record for each change in it, byte for byte as it was signed.

Performs no I/O of its own. `read` never refuses a delivery for one bad change: that one becomes a dead letter among the
records of its siblings.
https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson
from pydantic import SecretStr

from ingest.meta import verbatim
from ingest.meta.notification import (
    SAMPLE_LEAD,
    BadChange,
    Reason,
    digits_of,
    lead_of,
    object_of,
    page_of,
)
from ingest.records import DEAD, OTHER, RAW, UPDATES, Headers, Record, headers, raw_record

SIGNATURE_HEADER = "X-Hub-Signature-256"


class Unsigned(Exception):
    """Nobody who holds an app secret signed this; the text is one word: missing, malformed or mismatch."""


class NotVerified(Exception):
    """A handshake we do not answer; the text is one word: mode, token or challenge."""


class Unreadable(Exception):
    """Signed, but no delivery of Meta's webhook; the text is one word from a closed list."""


class FlatLead(Exception):
    """Signed, but in the flat shape of Business Suite's "CRM setup": answers, without the ids of the app's webhook."""


def signature(header: str | None) -> bytes:
    """The digest that `X-Hub-Signature-256: sha256=<64 hex digits>` claims: it can be read before there is a body.

    The older `X-Hub-Signature`, of SHA-1, is no signature here.
    """
    if header is None:
        raise Unsigned("missing")
    scheme, _, digits = header.partition("=")
    try:
        claimed = bytes.fromhex(digits)
    except ValueError:
        raise Unsigned("malformed") from None
    # Both lengths, because fromhex skips spaces.
    if scheme != "sha256" or len(digits) != 2 * _DIGEST_BYTES or len(claimed) != _DIGEST_BYTES:
        raise Unsigned("malformed")
    return claimed


def verify(claimed: bytes, body: bytes, secrets: Sequence[SecretStr]) -> None:
    """Returns when one of the app secrets signed these very bytes; Unsigned when none did.

    There are several while one is rotated, and where several apps post here. Meta signs the bytes that it sends,
    escapes included: nothing may read the body and write it anew before this.
    """
    for secret in secrets:
        keyed = _keyed(secret)
        if keyed is None:
            continue
        # HMAC-SHA256 (RFC 2104), from states that the secret alone decides: half of what it costs a small body.
        inner, outer = keyed[0].copy(), keyed[1].copy()
        inner.update(body)
        outer.update(inner.digest())
        if hmac.compare_digest(claimed, outer.digest()):
            return
    raise Unsigned("mismatch")


@lru_cache(maxsize=64)
def _keyed(secret: SecretStr) -> "tuple[hashlib._Hash, hashlib._Hash] | None":
    """The inner and the outer hash that have read the key; None for an empty one, which everybody has."""
    key = secret.get_secret_value().encode()
    block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)
    return (hashlib.sha256(inner), hashlib.sha256(outer)) if key else None


def handshake(query: Mapping[str, str], verify_token: SecretStr) -> str:
    """The challenge, to be answered exactly, when Meta verifies the callback URL; NotVerified otherwise."""
    expected = verify_token.get_secret_value().encode()
    given = query.get("hub.verify_token", "").encode("utf-8", "surrogatepass")
    challenge = query.get("hub.challenge", "")
    if query.get("hub.mode") != "subscribe":
        raise NotVerified("mode")
    if not expected or not hmac.compare_digest(given, expected):
        raise NotVerified("token")
    # An int in Meta's words, opaque text to us; only what is short and plain is ever echoed.
    if not (0 < len(challenge) <= _MAX_CHALLENGE and challenge.isascii() and challenge.isprintable()):
        raise NotVerified("challenge")
    return challenge


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One POST as records, in the order of its changes, and what an operator should hear of it."""

    records: list[Record] = field(default_factory=list)
    samples: int = 0  # the dashboard's sample lead: on raw like any other, skipped by fetch
    values_switched_off: int = 0  # entries that tell only the names of what changed, and so no lead
    dead: list[Reason] = field(default_factory=list)


def read(body: bytes, *, delivery: str, received_at: int) -> Delivery:
    """One record for each change of a signed body; Unreadable or FlatLead when it is no delivery at all.

    `leadgen` goes to raw, keyed by page; `leadgen_update` to updates, keyed by lead; anything else unread to other,
    keyed by page. An entry goes to other whole when it has no changes (Messenger's, `changed_fields`), says more than
    id, time and changes, or is of no page, so that nothing signed is dropped.

    `delivery` names this POST, `received_at` is unix milliseconds.
    """
    common = (*_WEBHOOK, ("delivery", delivery.encode()), ("received-at", b"%d" % received_at))
    document = _lossless(body)
    if document is not None:
        usual = _usual(document, common)
        return Delivery(records=usual) if usual is not None else _read(document, common, _itself, orjson.dumps)
    try:
        root = verbatim.read(body, _BODY)
    except ValueError:
        raise Unreadable("not-json") from None
    return _read(root, common, attrgetter("value"), attrgetter("text"))


def _lossless(body: bytes) -> Any:
    """The document, if orjson would write the whole as it came: then what it writes of a part are the part's own bytes.

    So it is with what Meta sends to this day, at a third of the cost of cutting the text. It is never so where orjson
    lost something, as it does with an integer beyond 64 bits. None where it is not, or may not be: the other reader
    decides, which takes lone surrogates, for one.
    """
    try:
        document = orjson.loads(body)
        return document if orjson.dumps(document) == body else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _usual(document: Any, common: Headers) -> list[Record] | None:
    """The records of a delivery of leads in which all is as Meta documents it; None where `_read` has to look closer.

    It is what nearly every delivery is, and `_read` would come to the same records in twice the time.
    """
    records: list[Record] = []
    known, key = _NOBODY, b""  # the page that was looked at last, and its bytes
    try:
        entries = document["entry"]
        if document["object"] != "page" or type(entries) is not list:
            return None
        for entry in entries:
            number, time, changes = digits_of(entry["id"]), digits_of(entry["time"]), entry["changes"]
            if number is None or time is None or type(changes) is not list or len(entry) != len(_USUAL):
                return None
            said = (*common, ("entry-id", number.encode()), ("entry-time", time.encode()))
            for change in changes:
                value = change["value"]
                lead, page = digits_of(value["leadgen_id"]), value["page_id"]
                if not lead or lead[0] == "0" or lead == SAMPLE_LEAD or change["field"] != "leadgen":
                    return None
                if page != known:
                    digits = digits_of(page)
                    if not digits or digits[0] == "0":
                        return None
                    known, key = page if type(page) is str else _NOBODY, digits.encode()  # 1 would be True
                records.append(raw_record(key, orjson.dumps(change), said))
    except (KeyError, TypeError):  # of another shape
        return None
    return records


def _read(root: Any, common: Headers, value_of: "_ValueOf", text_of: "_TextOf") -> Delivery:
    document = value_of(root)
    if not isinstance(document, dict):
        raise Unreadable("not-an-object")
    entries = document.get("entry")
    if not isinstance(entries, list):
        raise FlatLead if "facebook_lead_id" in document else Unreadable("no-entries")
    reading = _Reading(common, value_of, text_of)
    of_a_page = document.get("object") == "page"
    for entry in entries:
        reading.entry(entry, of_a_page=of_a_page)
    return reading.done


class _Reading:
    """Collects the records of one POST."""

    __slots__ = ("_common", "_text_of", "_value_of", "done")

    def __init__(self, common: Headers, value_of: "_ValueOf", text_of: "_TextOf") -> None:
        self.done = Delivery()
        self._common = common
        self._value_of = value_of
        self._text_of = text_of

    def entry(self, node: Any, *, of_a_page: bool) -> None:
        entry = self._value_of(node)
        if not isinstance(entry, dict):
            self._bury(node, "entry-not-an-object", None, self._common)
            return
        number, time = digits_of(entry.get("id")), digits_of(entry.get("time"))
        page = number if number is not None and number.strip("0") else None
        said = self._common
        # Only what is a number: a header must not cost a lead.
        if number is not None:
            said += (("entry-id", number.encode()),)
        if time is not None:
            said += (("entry-time", time.encode()),)
        has_changes = of_a_page and "changes" in entry
        if not (has_changes and entry.keys() <= _USUAL):
            self._keep(OTHER, page, node, said)
            self.done.values_switched_off += "changed_fields" in entry
        if not has_changes:
            return
        if not isinstance(entry["changes"], list):
            self._bury(node, "changes-not-a-list", page, said)
            return
        for change in entry["changes"]:
            try:
                self._change(change, page, said)
            except BadChange as bad:
                self._bury(change, bad.reason, page, said)

    def _change(self, node: Any, page: str | None, said: Headers) -> None:
        change = self._value_of(node)
        if not isinstance(change, dict):
            raise BadChange("change-not-an-object")
        name = change.get("field")
        if name == "leadgen":
            value = object_of(change.get("value"))
            lead = lead_of(value)
            self._keep(RAW, page_of(value, page), node, said)
            if lead == SAMPLE_LEAD:
                self.done.samples += 1
        elif name == "leadgen_update":
            self._keep(UPDATES, lead_of(object_of(change.get("value"))), node, said)
        else:
            self._keep(OTHER, page, node, said)

    def _keep(self, topic: str, key: str | None, node: Any, said: Headers) -> None:
        self.done.records.append(
            Record(topic=topic, key=None if key is None else key.encode(), value=self._text_of(node), headers=said)
        )

    def _bury(self, node: Any, reason: Reason, page: str | None, said: Headers) -> None:
        """The door's own dead letter, without coordinates: it was never read from a topic."""
        why = headers(
            {
                "stage": "ingest",
                "fate-reason": reason,
                "__connect.errors.stage": "ingest",
                "__connect.errors.exception.class.name": BadChange.__name__,
            }
        )
        self.done.dead.append(reason)
        self._keep(DEAD, page, node, said + why)


# `Any`: a node of JSON, as it is or as a verbatim.Part.
_ValueOf = Callable[[Any], Any]
_TextOf = Callable[[Any], bytes]


def _itself(node: Any) -> Any:
    return node


_NOBODY: object = object()  # is equal to no page of a delivery
_WEBHOOK = headers({"source": "webhook"})
_DIGEST_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256
_MAX_CHALLENGE = 256
_USUAL = frozenset({"id", "time", "changes"})
_BODY = verbatim.members({"entry": verbatim.items(verbatim.members({"changes": verbatim.items(verbatim.part)}))})
