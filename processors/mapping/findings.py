"""What is found when a mapping file is held against forms. Performs no I/O."""

from dataclasses import dataclass
from typing import Literal

from processors.mapping.reading import Loaded, dotted
from processors.mapping.yaml_text import Place

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An error is what would make dead letters or an empty field, a warning is what may be meant so."""

    severity: Severity
    file: str
    line: int
    field: str  # where in the file, such as fields.phone.from[1]; empty: the file as a whole
    form_id: str | None  # None: not of one form
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """A finding before its file and line are known."""

    severity: Severity
    place: Place
    form_id: str | None
    message: str

    def within(self, loaded: Loaded) -> Finding:
        return Finding(
            severity=self.severity,
            file=loaded.file,
            line=loaded.line(self.place),
            field=dotted(self.place),
            form_id=self.form_id,
            message=self.message,
        )
