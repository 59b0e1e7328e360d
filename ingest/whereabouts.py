"""Where a lead is already: what a door that reads many leads from Meta has to know of each. Performs no I/O."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ingest.details import RICHNESS
from schemas.shapes import Completeness

# As the account has them: see deploy/account/judging.py, and targets.py.
Unmapped = Literal["erased", "dead", "skipped", "duplicate", "unread", "lost"]
Fate = Literal["fetched", "waiting", "parked", "dead", "skipped", "duplicate", "unread", "open", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What the topics have of a lead."""

    details: Completeness | None = None  # how complete what lies on details is; None where nothing does
    erased: bool = False  # its tombstone lies there
    mapped: bool = False  # it lies on leads.v1
    fate: Fate | None = None  # of its newest notification; None where there was none
    reason: str | None = None  # of that fate, where one was told
    reconciled: bool = False  # it was announced by `reconcile`, and not by Meta
    unmapped: Unmapped | None = None  # what map made of its details, where it is not on leads.v1
    unmapped_reason: str | None = None  # of that, where it is dead

    def has_as_much_as(self, completeness: Completeness) -> bool:
        """Whether such details would bring nothing: as good ones are there, or the lead was erased.

        Where details are kept for shorter than leads.v1, or expired a little earlier, nobody knows how good those were
        that the lead there was made of: as good as the poorest at least.
        """
        if self.details is None:
            return self.erased or (self.mapped and RICHNESS[completeness] == min(RICHNESS.values()))
        return self.erased or RICHNESS[self.details] >= RICHNESS[completeness]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdone:
    """A lead whose newest details is poorer than an earlier one, which lay at this place of details."""

    lead_id: str
    partition: int
    offset: int
    by: tuple[int, int]  # where the newest lies


class KnowsLeads(Protocol):
    def of(self, lead_ids: Collection[str]) -> Mapping[str, Whereabouts]:
        """Of those leads that anything is known of, as of the last `refresh`."""
        ...

    def refresh(self) -> None:
        """Reads what is new on the topics."""
        ...
