"""Bytes to text to JSON, by functions that give None instead of raising: a decoder's exception holds the whole text,
and would stay in the chain of whatever is raised next."""

import json
import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

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
        parsed: Json = json.loads(text or "", object_pairs_hook=pairs, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return None
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
