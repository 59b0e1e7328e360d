"""The webhook POST as Meta makes it: the body's exact bytes, and the headers that sign them. Pure."""

import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence

from deploy.sandbox.graph.leads import Lead
from deploy.sandbox.graph.shapes import AdStyle, IdStyle

_ESCAPES = str.maketrans({"/": "\\/", "<": "\\u003C", "%": "\\u0025", "@": "\\u0040"})


def leadgen_value(lead: Lead, page_id: str, *, ids: IdStyle, ads: AdStyle, chance: random.Random) -> dict[str, object]:
    """The `value` of a leadgen change. `chance` decides where a style is mixed."""
    as_integer = ids == "integer" or (ids == "mixed" and chance.random() < 0.5)  # noqa: PLR2004 - one in two
    write = int if as_integer else str
    value: dict[str, object] = {
        "leadgen_id": write(lead.lead_id),
        "page_id": write(page_id),
        "form_id": write(lead.form.form_id),
        "created_time": lead.created,
    }
    if lead.ad_slot is not None:
        ad = lead.form.ad_fields(lead.n)["ad_id"]
        # The webhook's adgroup_id is the old name of the ad, so both say the same.
        return value | {"adgroup_id": write(ad), "ad_id": write(ad)}
    style = chance.choice(("absent", "null", "zero")) if ads == "mixed" else ads
    if style == "null":
        return value | {"adgroup_id": None, "ad_id": None}
    if style == "zero":
        return value | {"adgroup_id": write("0"), "ad_id": write("0")}
    return value


def change(value: Mapping[str, object], field: str = "leadgen") -> dict[str, object]:
    """One element of `changes`."""
    return {"value": value, "field": field}


def entry(page_id: str, changes: Sequence[Mapping[str, object]], *, sent_at: float) -> dict[str, object]:
    """One element of `entry`. `time` is when the notification was sent, not when the lead was made."""
    return {"id": page_id, "time": int(sent_at), "changes": list(changes)}


def names_only(page_id: str, *, sent_at: float) -> dict[str, object]:
    """An entry when "Include Values" is off: the names of the fields, and no lead (WHGS)."""
    return {"id": page_id, "time": int(sent_at), "changed_fields": ["leadgen"]}


def body_of(entries: Sequence[Mapping[str, object]]) -> bytes:
    """The bytes of a POST about pages."""
    return escaped({"object": "page", "entry": list(entries)})


def escaped(payload: Mapping[str, object]) -> bytes:
    r"""JSON with all beyond ASCII escaped in lower-case hex, and `/`, `<`, `%`, `@` escaped too, as Meta sends it."""
    return json.dumps(payload, separators=(",", ":")).translate(_ESCAPES).encode()


def signed_headers(body: bytes, secret: str, *, version: str) -> dict[str, str]:
    """Meta's headers: HMACs of the raw bytes, keyed by the app secret; the legacy SHA-1 still comes along."""
    return unsigned_headers(version=version) | {
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def unsigned_headers(*, version: str) -> dict[str, str]:
    """The headers of a POST without its signatures."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "Facebook-Api-Version": version,
        "Accept-Encoding": "deflate, gzip",
    }
