"""Whether the formats of dates and the templates in a mapping file mean anything. Performs no I/O."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args

from processors.lead.standard import Field as StandardField
from processors.mapping.file import LeadProperty
from processors.mapping.template import read_template
from processors.mapping.wording import nearest

# strftime's, by Python's documentation; a hyphen leaves out the zero before a number.
_DIRECTIVE = re.compile(r"%-?[aAbBcdfGHIjmMpSuUVwWxXyYzZ%]")
_SOME_DAY = datetime(1987, 11, 26, 21, 43, 5, tzinfo=UTC)
# A Literal within a Literal is flat to typing.
_PROPERTIES: tuple[str, ...] = get_args(LeadProperty)
_STANDARD: tuple[str, ...] = get_args(StandardField)


def unreadable(written: str) -> str | None:
    """Why no date can be read in this format, or None."""
    try:
        told = datetime.strptime(_SOME_DAY.strftime(written), written)  # noqa: DTZ007  only to see whether it can
    except (ValueError, re.error) as error:  # the latter where a directive is there twice
        return f"is no format of strptime: {error}"
    return None if told.date() == _SOME_DAY.date() else "does not tell year, month and day"


def unwritable(written: str) -> str | None:
    """Why no date can be written in this format, or None."""
    known = "%" not in _DIRECTIVE.sub("", written)
    return None if known else "has a % that strftime does not know: %% is a percent sign"


def unfillable(template: str) -> Iterator[str]:
    """Why a template cannot be filled."""
    try:
        places = read_template(template).places
    except ValueError as error:
        yield str(error)
        return
    for place in places:
        known = {"standard": _STANDARD, "lead": _PROPERTIES}.get(place.kind)
        if known and place.name not in known:
            yield f"{{{place.kind}.{place.name}}} is not known{nearest(place.name, known)}"
