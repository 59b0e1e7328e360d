"""What each column of an export is, whatever people renamed, moved or added. Performs no I/O of its own.

The values tell first: an id with a prefix says what it is. Else the column's name tells, in any case, spaces and
underscores alike. What stands before the last of Meta's own columns was put there by people; what follows them was
asked on the form, up to `lead_status`, after which only names that Meta gives to its standard questions are questions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from ingest.export.refusals import NotAnExport
from ingest.export.values import Kind, a_kind, a_moment, an_id

Text = Literal["form_name", "ad_name", "adset_name", "campaign_name", "platform", "partner_name", "retailer_item_id"]
Role = Kind | Literal["created_time", "is_organic"] | Text

_KINDS: tuple[Kind, ...] = get_args(Kind)
_TEXTS: tuple[Text, ...] = get_args(Text)
_NAMES: Mapping[str, Role] = {
    "id": "lead_id",
    "leadgen_id": "lead_id",
    "created_time": "created_time",
    "is_organic": "is_organic",
    **{name: name for name in _KINDS},
    **{name: name for name in _TEXTS},
}
# Meta's own, about its inbox: no answer of the lead's.
_STATUS = frozenset({"lead_status", "inbox_url"})
# What Meta names the answers to its standard questions; another one after `lead_status` is an extra, and not lost.
_STANDARD = frozenset(
    {
        "city", "company_name", "country", "date_of_birth", "email", "first_name", "full_name", "gender", "job_title",
        "last_name", "phone", "phone_number", "post_code", "province", "state", "street_address", "website",
        "work_email", "work_phone_number", "zip_code",
    }
)  # fmt: skip
_MANY_DIGITS = 15  # as many as a spreadsheet keeps
_ENOUGH = 6  # zeros where digits would be: one file in a million has them by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Places of a row's cells. `names` are the header's, without the empty ones at its end."""

    names: Sequence[str]
    lead_id: int
    created_time: int
    is_organic: int | None
    ids: Sequence[tuple[int, Kind]]
    texts: Sequence[tuple[int, Text]]
    questions: Sequence[tuple[int, str]]
    extras: Sequence[tuple[int, str]]


@lru_cache(maxsize=1024)
def alike(name: str) -> str:
    """A column's name as it is compared: in lower case, underscores for spaces and hyphens."""
    return re.sub(r"[\s_\-]+", "_", name.strip().strip("\ufeff")).casefold()


def is_a_header(cells: Iterable[str]) -> bool:
    """True for a row that names the columns of a table of leads: the id and the time by Meta's names."""
    roles = {_NAMES.get(alike(cell)) for cell in cells}
    return {"lead_id", "created_time"} <= roles


def begins_a_row(header: Sequence[str]) -> Callable[[Sequence[str]], bool]:
    """Whether a row is a lead's, as far as that can be told before the columns are known: it has an id and a time."""
    named = [place for place, name in enumerate(header) if _NAMES.get(alike(name)) == "lead_id"]

    def has_an_id(cells: Sequence[str]) -> bool:
        if any(a_kind(cell) == "lead_id" for cell in cells):
            return True
        return any(place < len(cells) and an_id(cells[place], "lead_id") for place in named)

    return lambda cells: has_an_id(cells) and any(a_moment(cell) is not None for cell in cells)


def known_names(cells: Iterable[str]) -> int:
    """How many cells are names that Meta gives to columns."""
    return sum(alike(cell) in _NAMES for cell in cells)


def read_columns(header: Sequence[str], first: Sequence[Sequence[str]]) -> Columns:
    """The columns by their names and the `first` rows; `NotAnExport` if they leave open what tells a lead."""
    names = [name.strip("\ufeff") for name in header]
    while names and not names[-1].strip():
        names.pop()
    columns = [[row[place] for row in first if place < len(row) and row[place].strip()] for place in range(len(names))]
    said = [_NAMES.get(alike(name)) for name in names]
    shown = [_by_values(cells) for cells in columns]
    roles = [by_values or by_name for by_values, by_name in zip(shown, said, strict=True)]
    lead = _lead(said, shown)
    time = _time(roles, columns, lead)
    known = {role: place for place, role in reversed(list(enumerate(roles))) if role}
    known |= {"lead_id": lead, "created_time": time}
    if _are_rounded(columns[lead]):
        raise NotAnExport("rounded-ids")
    questions, extras = _others(names, set(known.values()))
    return Columns(
        names=tuple(names),
        lead_id=lead,
        created_time=time,
        is_organic=known.get("is_organic"),
        ids=[(known[kind], kind) for kind in _KINDS if kind in known and kind != "lead_id"],
        texts=[(known[name], name) for name in _TEXTS if name in known],
        questions=questions,
        extras=extras,
    )


def _by_values(cells: Sequence[str]) -> Role | None:
    """What the prefixes say; test leads have dummies for ids, and what may not be read is a sentence."""
    kinds = {kind for cell in cells if (kind := a_kind(cell))}
    prefixed = sum(a_kind(cell) is not None for cell in cells)
    return kinds.pop() if len(kinds) == 1 and prefixed * 2 > len(cells) else None


def _lead(said: Sequence[Role | None], shown: Sequence[Role | None]) -> int:
    """The column that both its name and its values call the lead's id, or else its values, or else its name."""
    named = [place for place, role in enumerate(said) if role == "lead_id" and shown[place] in (None, "lead_id")]
    prefixed = [place for place, role in enumerate(shown) if role == "lead_id"]
    match [place for place in prefixed if place in named] or prefixed or named:
        case []:
            raise NotAnExport("no-id")
        case [place]:
            return place
        case _:
            raise NotAnExport("several-ids")


def _time(roles: Sequence[Role | None], columns: Sequence[Sequence[str]], lead: int) -> int:
    for place, role in enumerate(roles):
        if role == "created_time":
            return place
    # Renamed, it is known by its values, but only where Meta puts it: people are asked for days and hours too.
    metas = max((place for place, role in enumerate(roles) if role), default=0)
    moments = [place for place in range(metas) if roles[place] is None and _are_moments(columns[place])]
    beside = lead + 1
    if beside < len(columns) and not moments and _are_moments(columns[beside]):
        return beside
    if len(moments) != 1:
        raise NotAnExport("no-time")
    return moments[0]


def _are_moments(cells: Sequence[str]) -> bool:
    return bool(cells) and all(a_moment(cell) is not None for cell in cells)


def _are_rounded(ids: Iterable[str]) -> bool:
    """True if all that follows the fifteenth digit is zeros, and that is no chance."""
    beyond = "".join(digits[_MANY_DIGITS:] for digits in set(ids) if digits.isdecimal())
    return len(beyond) >= _ENOUGH and not beyond.strip("0")


def _others(names: Sequence[str], known: set[int]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The columns of questions, and those that are neither Meta's nor a question."""
    questions: list[tuple[int, str]] = []
    extras: list[tuple[int, str]] = []
    last_of_metas = max(known)
    behind = range(last_of_metas + 1, len(names))
    status = next((place for place in behind if alike(names[place]) in _STATUS), len(names))
    for place, name in enumerate(names):
        if place in known:
            continue
        is_asked = last_of_metas < place < status or alike(name) in _STANDARD
        (questions if is_asked and name.strip() else extras).append((place, name))
    return questions, extras
