"""Names and texts of forms as mapping files can hold them. Performs no I/O."""

import re
from unicodedata import combining, normalize

import yaml

_MAX = 63
_WORTHWHILE = 40  # of a question's key: more of it is a sentence, not a name
# Letters that Unicode does not take apart.
_ALONE = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ł": "l", "þ": "th", "ı": "i"})  # noqa: RUF001  so it is written
_APOSTROPHES = {ord(each): None for each in "'\u2019"}
# What a YAML reader of any version takes for a text; the rest is written in quotes.
_PLAIN = re.compile(r"[^\W\d_][\w.@/+'?!,()-]*(?: [\w.@/+'?!,()-]+)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})


def slug(text: str) -> str:
    """Small ASCII letters, digits and _, a letter first; empty where that would say less than half of the text."""
    plain = "".join(each for each in normalize("NFKD", text.casefold().translate(_ALONE)) if not combining(each))
    words = re.findall(r"[a-z0-9]+", plain.translate(_APOSTROPHES))
    letters = sum(each.isalnum() for each in plain)
    if not words or 2 * sum(map(len, words)) < letters:
        return ""
    found = words[0] if words[0][0].isalpha() else f"q_{words[0]}"
    for word in words[1:]:
        if len(found) + len(word) >= _WORTHWHILE:
            break
        found = f"{found}_{word}"
    return found[:_MAX]


class Names:
    """Names that differ by more than their case."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def take(self, wanted: str) -> str:
        """The name, or with the first number that is free."""
        name, number = wanted, 1
        while name.casefold() in self._taken:
            number += 1
            ending = f"_{number}"
            name = f"{wanted[: _MAX - len(ending)]}{ending}"
        self._taken.add(name.casefold())
        return name


def scalar(text: str) -> str:
    """The text as YAML has it on one line."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    written: str = yaml.safe_dump(text, allow_unicode=True, default_style='"', width=float("inf"))
    return written.rstrip("\n")


def comment(text: str) -> str:
    """The text as it can stand behind a #."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
