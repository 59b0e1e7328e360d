"""Bytes to text to JSON, by functions that give None instead of raising: a decoder's exception holds the whole text,
and would stay in the chain of whatever is raised next."""

import json
import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import orjson

from ingest.meta.verbatim import quick

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


def decode(body: bytes) -> str | None:
    """Strict UTF-8, or None."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def encodable(text: str) -> str | None:
    """The text if it can be written as UTF-8, which half a surrogate pair cannot; else None."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return text


def parse(text: str | None, pairs: Callable[[Iterable[tuple[str, Json]]], JsonObject] = dict) -> Json:
    """JSON as RFC 8259 has it, integers of any length exact; None where it is none (or `null`, which says as little).

    `pairs` makes an object of its members, in their order.
    """
    try:
        parsed: Json = quick(text) if pairs is dict and text is not None else None
        if parsed is not None:
            return parsed
        parsed = (_decode if pairs is dict else _decoder(pairs))(text or "")
    except (ValueError, RecursionError):
        return None
    return parsed


def read_envelope(body: bytes) -> Json:
    """`parse` of `decode`, several times as fast, but an integer beyond 64 bits becomes a float.

    For what wraps texts that are read by themselves, and has no ids of its own.
    """
    try:
        parsed: Json = orjson.loads(body)
    except orjson.JSONDecodeError:  # its exception holds the whole text, and is gone here
        return parse(decode(body))  # half a surrogate pair is no reason to lose the others
    return parsed


def canonical(value: Json) -> str:
    """The one JSON text of a value, whatever the order of its keys.

    In ASCII, because half a surrogate pair, which JSON can escape, could not be encoded later.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


def _decoder(pairs: Callable[[Iterable[tuple[str, Json]]], JsonObject] | None) -> Callable[[str], Json]:
    return json.JSONDecoder(object_pairs_hook=pairs, parse_float=_finite, parse_constant=_finite).decode


_decode = _decoder(None)  # made once: making one takes as long as reading a lead
