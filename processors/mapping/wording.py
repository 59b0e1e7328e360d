"""What pydantic finds wrong with a mapping file, in the file's own words. Performs no I/O."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from processors.mapping import file
from processors.mapping.yaml_text import Place

_FEW = 9  # names that a sentence can list

# What each pattern of the grammar means; a test holds this to the grammar.
PATTERNS: Mapping[str, str] = {
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name is letters without accents, digits and _, and begins with no digit",
    r"^[0-9]{1,32}$": "an id is up to 32 digits",
    r"^[A-Z]{2}$": "a region is two capital letters, such as DE",
    r"^[a-z][a-z0-9_]{0,48}$": "a target is up to 49 small letters without accents, digits and _, a letter first",
}
_VERSION = "`{value}` is no version: whole numbers from 1 to 999 are"
_NAMES = "should be names with values, such as `type: string`"
_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "string_type": "should be a text, in quotes where it has : or # or {{ in it",
    "tuple_type": "should be a list, each entry after a -",
    "model_type": _NAMES,
    "dict_type": _NAMES,
    "mapping_type": _NAMES,
    "bool_parsing": "`{value}` should be true or false",
    "bool_type": "should be true or false",
    "int_parsing": _VERSION,
    "int_parsing_size": _VERSION,
    "int_type": _VERSION,
    "greater_than_equal": _VERSION,
    "less_than_equal": _VERSION,
}
# A transform that is more than a word, as it is written.
_WRITTEN: Mapping[str, str] = {
    "format_date": 'format_date: "%d.%m.%Y"',
    "code": "code: {table: {option: CODE}}",
    "split": 'split: ";"',
    "join": 'join: ", "',
    "template": 'template: "{value}"',
}


def path_in_file(loc: Place) -> Place:
    """A place as the file has it: pydantic also says which kind of source it read, and marks a key."""
    path: list[str | int] = []
    for place, part in enumerate(loc):
        is_kind = place > 1 and isinstance(loc[place - 1], int) and loc[place - 2] in ("from", "transform")
        if not is_kind and part != "[key]":
            path.append(part)
    return tuple(path)


def in_words(said: ErrorDetails) -> str:
    """One sentence about one error, without the place."""
    kind, value, about = said["type"], said["input"], said.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path_in_file(said["loc"]))
    if value is None and kind != "missing":
        return _SENTENCES["too_short"]
    if kind == "literal_error":
        return _none_of(str(value), re.findall(r"'([^']+)'", about["expected"]))
    if kind in {"source", "transform"}:
        return _no_part(kind, value, said["msg"])
    if kind == "string_pattern_mismatch":
        return f"`{value}` will not do: {PATTERNS[about['pattern']]}"
    return _SENTENCES[kind].format(value=value, **about) if kind in _SENTENCES else said["msg"]


def nearest(word: str, known: Collection[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    close = get_close_matches(word.casefold(), known, n=2, cutoff=0.7)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def _unknown(path: Place) -> str:
    model: type[BaseModel] | None
    match path[:-1]:
        case ():
            model = file.Mapping
        case ("filter",):
            model = file.Filter
        case ("fields", _):
            model = file.TargetField
        case ("fields", _, "forms", _):
            model = file.Override
        case _:
            model = None
    fields = model.model_fields if model else {}
    known = [about.alias or name for name, about in fields.items()]
    return f"is nothing that a mapping file knows here{nearest(str(path[-1]), known)}"


def _none_of(value: str, known: list[str]) -> str:
    if value in _WRITTEN:
        return f"{value} needs to be told more: `{_WRITTEN[value]}`"
    told = f": it is one of {', '.join(known)}" if len(known) <= _FEW else nearest(value, known)
    return f"`{value}` is not known here{told}"


def _no_part(kind: str, value: object, otherwise: str) -> str:
    if isinstance(value, dict) and len(value) > 1:
        names = " and ".join(f"`{name}`" for name in value)
        return f"a {kind} is one thing, this has {names}: a - before each, or one further to the right?"
    if isinstance(value, dict) and len(value) == 1:
        word = str(next(iter(value)))
        if kind == "transform" and word in get_args(file.Plain):
            return f"{word} stands alone: `- {word}`"
        known = _SOURCES if kind == "source" else (*_TRANSFORMS, *get_args(file.Plain))
        return f"`{word}` is no {kind}{nearest(word, known) or f': {otherwise}'}"
    return otherwise


_SOURCES = ("standard", "field", "question", "tracking", "disclaimer", "lead", "constant")
_TRANSFORMS = (*_WRITTEN, "e164", "country", "date", "timestamp", "number", "boolean")
