"""A field as it is for one form: what its override says, else what the field says, each with its place in the file.

Performs no I/O.
"""

from dataclasses import dataclass
from typing import Literal

from processors.mapping.file import Override, Source, TargetField, Transform
from processors.mapping.yaml_text import Place

Part = Literal["from", "transform", "default", "required"]

_NO_OVERRIDE = Override()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """A field for the leads of one form; `form_id` None is for those of all forms without an override."""

    name: str
    field: TargetField
    form_id: str | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        said = self._override.sources
        return self.field.sources if said is None else said

    @property
    def transform(self) -> tuple[Transform, ...]:
        said = self._override.transform
        return self.field.transform if said is None else said

    @property
    def default(self) -> str | None:
        said = self._override.default
        return self.field.default if said is None else said

    @property
    def required(self) -> bool:
        said = self._override.required
        return self.field.required if said is None else said

    @property
    def place(self) -> Place:
        """Where the field, or its override, is in the file."""
        here: Place = ("fields", self.name)
        return here if self.form_id is None else (*here, "forms", self.form_id)

    def where(self, part: Part) -> Place:
        """Where the part is said: in the override, or in the field."""
        is_here = getattr(self._override, "sources" if part == "from" else part) is not None
        return (*(self.place if is_here else ("fields", self.name)), part)

    @property
    def _override(self) -> Override:
        return self.field.forms.get(self.form_id or "", _NO_OVERRIDE)


def for_form(name: str, field: TargetField, form_id: str) -> Effective:
    """The field for the leads of a form, whether that has an override or not."""
    return Effective(name=name, field=field, form_id=form_id if form_id in field.forms else None)
