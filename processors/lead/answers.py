"""Every answer, kept as it was given and joined with its question; and the standard ones, by field. Performs no I/O."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from processors.lead import normalise
from processors.lead.form import Form, Question
from processors.lead.loose import a_text, dump
from processors.lead.normalise import Code
from processors.lead.standard import BY_NAME, Field
from schemas.shapes import Answer, Problem

Value = TypeVar("Value")

# What Meta's Lead Ads Testing Tool fills in: the only sign of a test lead there is.
# https://developers.facebook.com/docs/marketing-api/guides/lead-ads/testing-troubleshooting
_DUMMY = "<test lead: dummy data"
_DUMMY_EMAILS = frozenset({"test@meta.com", "test@fb.com"})

_UNLISTED = Question(label=None, type=None, options=None)


class Answers:
    """Meta's field_data: one Answer for each entry, in its order, whatever the entry's shape.

    The answers that have a field of their own are read one field at a time; what cannot be read goes to `problems`.
    """

    def __init__(self, field_data: Iterable[object], form: Form, problems: list[Problem]) -> None:
        self.all: list[Answer] = []
        self._problems = problems
        self._given: dict[Field, list[tuple[str, str]]] = {}
        questions, tracking = form.questions, form.tracking
        for entry in field_data:
            if isinstance(entry, dict):
                name, given = entry.get("name"), entry.get("values")
                key = name if isinstance(name, str) else a_text(name) or ""
            else:
                key, given = "", entry
            question = questions.get(key)
            each = given if isinstance(given, list) else [given]
            values = [value if isinstance(value, str) else dump(value) for value in each if value is not None]
            if question is None:
                is_tracking = key in tracking
                field = None if is_tracking else BY_NAME.get(key)
                question = _UNLISTED
            else:
                is_tracking = False
                field = question.field
            self.all.append(
                {
                    "key": key,
                    "question": question.label,
                    "type": question.type,
                    "values": values,
                    "option_texts": list(map(question.options.get, values)) if question.options else [],
                    "is_tracking": is_tracking,
                    "is_sensitive": question.is_sensitive,
                }
            )
            if field is not None:
                said = [(key, value) for value in values if value.strip()]
                if said:
                    known = self._given.get(field)
                    self._given[field] = known + said if known else said

    @property
    def are_of_a_test_lead(self) -> bool:
        for answer in self.all:
            for value in answer["values"]:
                if value.startswith(_DUMMY) or value in _DUMMY_EMAILS:
                    return True
        return False

    def text(self, field: Field) -> str | None:
        """The field as it was answered, spaces tidied."""
        return self.read(field, _text)

    def read(self, field: Field, how: Callable[[str], tuple[Value | None, Code | None]]) -> Value | None:
        """The first value that can be read; another that differs is noted, as is each if none can."""
        given = self._given.get(field)
        if given is None:  # as most are
            return None
        taken: Value | None = None
        failed: list[Problem] = []
        for key, value in given:
            found, code = (None, "dummy") if value.startswith(_DUMMY) else how(value)
            if found is None:
                failed.append({"field": field, "key": key, "code": code or "invalid"})
            elif taken is None:
                taken = found
                if code:
                    self._problems.append({"field": field, "key": key, "code": code})
            elif found != taken:
                self._problems.append({"field": field, "key": key, "code": "several"})
        if taken is None:
            self._problems += failed
        return taken


def _text(value: str) -> tuple[str, None]:
    return normalise.text(value), None
