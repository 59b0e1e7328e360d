"""A text with places for values, read once: which places it has, and what is left of it where some are empty.

Performs no I/O.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["value", "standard", "field", "tracking", "lead"]

_PLACE = re.compile(r"\{([^{}]*)\}")
_SEPARATORS = " \t\n\u00a0,;:/|·\u2013\u2014-"
_BRACKETS = (("(", ")"), ("[", "]"))
_OPENING = ("(", "[")  # which no separator stands behind
_CLOSING = (".", "!", "?", ")", "]")  # nor before these


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: what it comes from, and the name there; `value` has none."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """`texts` stand around the places: one more of them than there are places."""

    texts: tuple[str, ...]
    places: tuple[Place, ...]

    def fill(self, values: Sequence[str]) -> str:
        """The text with these values, one for each place; an empty one takes what separates it with it."""
        if all(values):
            return self.texts[0] + "".join(value + text for value, text in zip(values, self.texts[1:], strict=True))
        return self._without_the_empty(values)

    def _without_the_empty(self, values: Sequence[str]) -> str:
        done, text = "", self.texts[0]  # what stands, and the text since
        anything = False  # whether a value stands
        for value, after in zip(values, self.texts[1:], strict=True):
            if value:
                done, text, anything = done + text + value, after, True
            else:
                text = _joined(text, after, begins=not (done or anything))
        if not anything:
            return ""
        return done + (text if values[-1] else text.rstrip(_SEPARATORS))


def read_template(text: str) -> Template:
    """The template in a text; `ValueError`, with what to write instead, where a place is none or there is no place."""
    places = tuple(_read_place(found[1]) for found in _PLACE.finditer(text))
    texts = tuple(_PLACE.split(text)[::2])
    if any(brace in part for part in texts for brace in "{}"):
        raise ValueError("has a brace that stands alone: braces are for values, such as {value}")
    if not places:
        raise ValueError("has no place for a value, such as {value}: for a text that is always the same, use constant")
    return Template(texts=texts, places=places)


def _read_place(said: str) -> Place:
    kind, dot, name = said.partition(".")
    if said == "value":
        return Place("value", "")
    for known in get_args(Kind)[1:]:
        if kind == known and dot and name:
            return Place(known, name)
    raise ValueError(
        f"{{{said}}} is no place: write {{value}}, {{standard.<name>}}, {{field.<id>}}, {{tracking.<key>}} or"
        " {lead.<property>}"
    )


def _joined(before: str, after: str, *, begins: bool) -> str:
    """The texts around an empty place as one: brackets around it go, and so does one of two separators."""
    for opening, closing in _BRACKETS:
        if before.endswith(opening) and after.startswith(closing):
            before, after = before[:-1], after[1:]
    left, right = before.rstrip(_SEPARATORS), after.lstrip(_SEPARATORS)
    if (begins and not left) or left.endswith(_OPENING) or right.startswith(_CLOSING):
        return left + right
    separators = (before[len(left) :], after[: len(after) - len(right)])
    return left + next((each for each in separators if each.strip()), max(separators)) + right
