"""Every refusal of Graph that matters to leads, as the envelope and the HTTP status it comes with.

Throttling comes as HTTP 400, never 429, and without Retry-After. Callers decide by code and subcode; the texts are
Meta's where one is published, else in its manner.
"""

import json
import secrets
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What Graph says no with. `transient` is Meta's `is_transient`, None where Meta leaves it out."""

    code: int
    message: str
    status: int = 400
    type: str = "OAuthException"
    subcode: int | None = None
    transient: bool | None = None

    def body(self) -> str:
        """The JSON text of the envelope, with a trace id of its own."""
        error: dict[str, object] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient is not None:
            error["is_transient"] = self.transient
        error["fbtrace_id"] = "A" + secrets.token_urlsafe(16)
        return json.dumps({"error": error}, separators=(",", ":")).replace("/", "\\/")


class RefusedError(Exception):
    """Raised by what answers a call; carries the refusal to the one place that writes it out."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.subcode)
        self.refusal = refusal


@cache
def known_refusals() -> dict[tuple[int, int | None], Refusal]:
    """Every refusal of errors.yaml by code and subcode."""
    entries = yaml.safe_load((Path(__file__).parent / "errors.yaml").read_text(encoding="utf-8"))
    return {(entry["code"], entry.get("subcode")): Refusal(**entry) for entry in entries}


@cache
def _first_of_code(code: int) -> Refusal:
    known = (refusal for refusal in known_refusals().values() if refusal.code == code)
    return next(known, Refusal(code=code, message=f"(#{code}) An error occurred"))


def refusal(code: int, subcode: int | None = None, *, object_id: str = "") -> Refusal:
    """The refusal Graph gives for this code and subcode; one that is not in the table looks like its code's first."""
    known = known_refusals().get((code, subcode))
    if known is None:
        first = _first_of_code(code)
        known = first if subcode is None else replace(first, subcode=subcode)
    return replace(known, message=known.message.replace("{id}", object_id)) if "{id}" in known.message else known


def missing(object_id: str, verb: str = "get") -> RefusedError:
    """100/33: it does not exist, or this token may not see it; Graph does not say which."""
    known = refusal(100, 33, object_id=object_id)
    return RefusedError(replace(known, message=known.message.replace("Unsupported get", f"Unsupported {verb}")))


def unknown_field(name: str, node_type: str) -> RefusedError:
    """#100 for a field that is not there, or that the token may not read."""
    return bad_parameter(f"Tried accessing nonexisting field ({name}) on node type ({node_type})")


def bad_parameter(message: str) -> RefusedError:
    """#100 with a text of its own."""
    return RefusedError(Refusal(code=100, message=f"(#100) {message}"))
