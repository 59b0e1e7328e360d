"""One cell as one kind of value: an id, a moment, yes or no, a telephone number. Performs no I/O of its own."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

Kind = Literal["lead_id", "ad_id", "adset_id", "campaign_id", "form_id"]

# What Ads Manager puts before ids, so that spreadsheets keep them whole.
_PREFIXES: Mapping[str, Kind] = {
    "l:": "lead_id",
    "ag:": "ad_id",
    "as:": "adset_id",
    "c:": "campaign_id",
    "f:": "form_id",
}
_ID = re.compile(r"(l:|ag:|as:|c:|f:)?([1-9][0-9]{0,24})")
_ROUNDED = re.compile(r"[0-9][.,]?[0-9]*E\+?[0-9]+|[0-9]+[.,]0+", re.IGNORECASE)
_PHONE = re.compile(r"p:([+(0-9][0-9 ()./-]{4,}|<test lead: .*)", re.DOTALL)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_SECONDS = re.compile(r"[1-9][0-9]{9}")
_SAID = {"1": True, "true": True, "0": False, "false": False}


def an_id(cell: str, kind: Kind) -> str | None:
    """The digits of an id, whose prefix may be missing but must not be another kind's; None for anything else."""
    found = _ID.fullmatch(cell.strip())
    return found[2] if found and (found[1] is None or _PREFIXES[found[1]] == kind) else None


def a_kind(cell: str) -> Kind | None:
    """Whose id this is, if it says so itself."""
    found = _ID.fullmatch(cell.strip())
    return _PREFIXES[found[1]] if found and found[1] else None


def is_rounded(cell: str) -> bool:
    """True for an id as spreadsheets write numbers: `1.23E+15`, `1,23E+15`, `120210000000000000.0`."""
    return bool(_ROUNDED.fullmatch(cell.strip()))


def a_moment(cell: str) -> int | None:
    """Unix seconds, from themselves or from ISO 8601 with any offset; None for anything else."""
    text = cell.strip()
    if _SECONDS.fullmatch(text):
        return int(text)
    found = _MOMENT.fullmatch(text)
    if not found or not found[3]:
        return None
    try:
        seconds = int(datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3]}").timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds if _SECONDS.fullmatch(str(seconds)) else None


def lacks_its_offset(cell: str) -> bool:
    """True for a moment that would be one if it told its offset from UTC."""
    found = _MOMENT.fullmatch(cell.strip())
    return found is not None and not found[3]


def yes_or_no(cell: str) -> bool | None:
    """Of `1`, `0`, `true`, `false` in any case; None for anything else."""
    return _SAID.get(cell.strip().lower())


def an_answer(cell: str) -> str:
    """The cell as it was answered: a telephone number without the `p:` that Ads Manager puts before it."""
    if cell.startswith("p:") and (found := _PHONE.fullmatch(cell)):
        return found[1]
    return cell
