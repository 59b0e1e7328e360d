"""Every answer, kept as it was given and joined with its question; and the standard ones, by field. Performs no I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeVar

from processors.lead import normalise
from processors.lead.form import Form, Question
from processors.lead.loose import a_text, dump
from processors.lead.normalise import Code
from processors.lead.standard import BY_NAME, BY_TYPE, Field
from schemas.shapes import Answer, Problem

Value = TypeVar("Value")

# What Meta's Lead Ads Testing Tool fills in: the only sign of a test lead there is.
# https://developers.facebook.com/docs/marketing-api/guides/lead-ads/testing-troubleshooting
_DUMMY = "<test lead: dummy data"
_DUMMY_EMAILS = frozenset({"test@meta.com", "test@fb.com"})

_UNLISTED = Question(label=None, type=None, options=None)


def read_answers(field_data: Iterable[object], form: Form) -> list[Answer]:
    """One Answer for each entry of Meta's field_data, in its order, whatever the entry's shape."""
    return [_answer(entry, form) for entry in field_data]


def are_of_a_test_lead(answers: Iterable[Answer]) -> bool:
    for answer in answers:
        for value in answer["values"]:
            if value.startswith(_DUMMY) or value in _DUMMY_EMAILS:
                return True
    return False


class StandardAnswers:
    """The answers that have a field of their own, read one field at a time; what cannot be read goes to `problems`."""

    def __init__(self, answers: Iterable[Answer], form: Form, problems: list[Problem]) -> None:
        self._problems = problems
        self._given: defaultdict[Field, list[tuple[str, str]]] = defaultdict(list)
        for answer in answers:
            if field := _field(answer, form):
                for value in answer["values"]:
                    if value.strip():
                        self._given[field].append((answer["key"], value))

    def text(self, field: Field) -> str | None:
        """The field as it was answered, spaces tidied."""
        return self.read(field, _text)

    def read(self, field: Field, how: Callable[[str], tuple[Value | None, Code | None]]) -> Value | None:
        """The first value that can be read; another that differs is noted, as is each if none can."""
        if field not in self._given:  # as most are not
            return None
        taken: Value | None = None
        failed: list[Problem] = []
        for key, value in self._given[field]:
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


def _answer(entry: object, form: Form) -> Answer:
    key, given = (a_text(entry.get("name")) or "", entry.get("values")) if isinstance(entry, dict) else ("", entry)
    question = form.questions.get(key, _UNLISTED)
    each = given if isinstance(given, list) else [given]
    values = [value if isinstance(value, str) else dump(value) for value in each if value is not None]
    type_ = question.type
    return {
        "key": key,
        "question": question.label,
        "type": type_,
        "values": values,
        "option_texts": list(map(question.options.get, values)) if question.options else [],
        "is_tracking": question is _UNLISTED and key in form.tracking,
        "is_sensitive": type_ is not None and type_.startswith("ID_"),
    }


def _text(value: str) -> tuple[str, None]:
    return normalise.text(value), None


def _field(answer: Answer, form: Form) -> Field | None:
    if answer["is_tracking"]:
        return None
    if answer["key"] in form.questions:
        return BY_TYPE.get(answer["type"] or "")
    return BY_NAME.get(answer["key"])
