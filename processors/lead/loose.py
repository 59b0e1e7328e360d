"""JSON of which nothing is promised: each function takes any value and gives the one kind asked for, or nothing.

Meta sends ids as strings and as integers, leaves keys out or sends null, and adds keys without notice.
"""

import json
from collections.abc import Mapping

import orjson

# `json.dumps` makes an encoder anew for each value.
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def parse(text: str) -> object:
    """The JSON value; `ValueError` if it is none. Half a surrogate pair, which UTF-8 cannot carry, becomes U+FFFD."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:  # stricter than Meta: it refuses half a pair
        return _mended(json.loads(text, object_pairs_hook=_mended_object))
    return value


def dump(value: object) -> str:
    """JSON text, in the characters of the people who wrote it."""
    return _write(value)


def an_object(value: object) -> Mapping[str, object]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def a_list(value: object) -> list[object]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def a_text(value: object) -> str | None:
    """A string as it is, any other value as JSON text; None where there is nothing (null or an empty string)."""
    if isinstance(value, str):
        return value or None
    return None if value is None else dump(value)


def an_id(value: object) -> str | None:
    """An id as a string. Meta writes "none" as null, "", 0 or "0"."""
    found = a_text(value)
    return None if found == "0" else found


def _mended(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_mended(each) for each in value]
        case _:
            return value


def _mended_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {str(_mended(name)): _mended(value) for name, value in pairs}
