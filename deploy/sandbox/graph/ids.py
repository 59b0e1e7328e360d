"""Every id of the double says what it belongs to, so nothing needs to be remembered to know an object again.

An id is a fixed prefix and a number that is shuffled reversibly: it looks as unordered as Meta's, has 15 to 17 digits
as Meta's have (some above 2^53, which a float would damage), and can be turned back into its number.
"""

from dataclasses import dataclass
from functools import cache

LEADS_PER_FORM = 10**8
FORMS = 10**5
ADS_PER_FORM = 10
LEAD_PREFIXES = ("58", "914", "7305")
"""A form's leads have 15, 16 or 17 digits, by the form's number; 914... and 7305... lie above 2^53."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Ids of one kind: `prefix` and then `digits` digits of the shuffled number."""

    prefix: str
    digits: int
    factor: int = 7_320_508_075_689
    """Odd and no multiple of five, so multiplying by it modulo a power of ten can be undone."""
    offset: int = 6_180_339_887_499

    def id_of(self, number: int) -> str:
        """The id of a number between 0 and 10^digits - 1."""
        space = 10**self.digits
        return f"{self.prefix}{(number * self.factor + self.offset) % space:0{self.digits}d}"

    def number_of(self, object_id: str) -> int | None:
        """The number behind an id, or None if the id is not of this kind."""
        if len(object_id) != len(self.prefix) + self.digits or not object_id.startswith(self.prefix):
            return None
        if not (object_id.isascii() and object_id.isdigit()):
            return None
        space = 10**self.digits
        shuffled = int(object_id[len(self.prefix) :])
        number: int = (shuffled - self.offset) * _inverse(self.factor, space) % space
        return number


@cache
def _inverse(factor: int, space: int) -> int:
    inverse: int = pow(factor, -1, space)
    return inverse


PAGES = Numbering(prefix="1048", digits=11)
FORM_IDS = Numbering(prefix="61", digits=13)
ADS = Numbering(prefix="1202", digits=13)
ADSETS = Numbering(prefix="1203", digits=13)
CAMPAIGNS = Numbering(prefix="1204", digits=13)
PARTS = Numbering(prefix="37", digits=13)
LEADS = tuple(Numbering(prefix=prefix, digits=13) for prefix in LEAD_PREFIXES)


def lead_id(form: int, n: int) -> str:
    """The id of the n-th lead of a form."""
    return LEADS[form % len(LEADS)].id_of(form * LEADS_PER_FORM + n)


def lead_number(object_id: str) -> tuple[int, int] | None:
    """`(form, n)` of a lead's id, or None if no form could have such a lead."""
    for kind, numbering in enumerate(LEADS):
        number = numbering.number_of(object_id)
        if number is not None:
            form, n = divmod(number, LEADS_PER_FORM)
            return (form, n) if form % len(LEADS) == kind else None
    return None
