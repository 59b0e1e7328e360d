"""A row as the answer Graph would have given about that lead, as far as the file tells. Performs no I/O of its own.

What the file does not tell is left out, not guessed. An empty cell is no entry in `field_data`: it does not say whether
the question was left out or never asked. What is no field of Meta's lead stands under `export`, whole and apart from
what the person answered.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ingest.export.columns import alike
from ingest.export.rows import Answers, Row
from ingest.meta.graph import JsonObject

_FIELDS = (
    "ad_id", "ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name", "form_id", "is_organic", "platform",
    "partner_name", "retailer_item_id",
)  # fmt: skip
_BETWEEN_OPTIONS = (";", ",", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a form: its key, and the keys of its options by what stands for them in a file."""

    key: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a form asks: questions by key, by label, and by either in `alike` spelling; several may share one."""

    keys: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    labels: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)
    loosely: Mapping[str, tuple[Question, ...]] = field(default_factory=dict)


def asked_of(form: JsonObject) -> Asked:
    """The questions and tracking parameters of a form's node; what has an unexpected shape is left out."""
    keys: dict[str, list[Question]] = {}
    labels: dict[str, list[Question]] = {}
    loosely: dict[str, list[Question]] = {}
    for question, label in _questions(form):
        keys.setdefault(question.key, []).append(question)
        if label:
            labels.setdefault(label, []).append(question)
        for name in {alike(question.key), alike(label or question.key)}:
            loosely.setdefault(name, []).append(question)
    return Asked(keys=_fixed(keys), labels=_fixed(labels), loosely=_fixed(loosely))


def answer_of(row: Row, asked: Asked | None = None) -> str:
    """The lead as Graph's JSON text; with what its form asks, columns become the questions' keys and options theirs."""
    told: JsonObject = {"id": row.lead_id, "created_time": _graph_time(row.created_time)}
    for name in _FIELDS:
        if (value := getattr(row, name)) is not None:
            told[name] = value
    answers, others = _answers(row, asked or Asked())
    told["field_data"] = [{"name": name, "values": list(values)} for name, values in answers]
    export: list[tuple[str, str]] = [("form_name", row.form_name)] if row.form_name else []
    if export or others:
        told["export"] = _members([*export, *others])
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _answers(row: Row, asked: Asked) -> tuple[list[tuple[str, tuple[str, ...]]], Answers]:
    """What was answered, by the questions' keys where the form tells them; and what is no answer."""
    answers: list[tuple[str, tuple[str, ...]]] = []
    others: list[tuple[str, str]] = []
    seen: Counter[str] = Counter()
    for pairs, are_questions in ((row.questions, True), (row.extras, False)):
        for column, cell in pairs:
            question = _question(column, asked, seen[column])
            seen[column] += 1
            if question is not None:
                answers.append((question.key, _values(cell, question.options)))
            elif are_questions:
                answers.append((column, (cell,)))
            else:
                others.append((column, cell))
    return answers, tuple(others)


def _question(column: str, asked: Asked, turn: int) -> Question | None:
    """The question a column is of; the n-th column of a name is of the n-th question so called."""
    for known in (asked.keys.get(column), asked.labels.get(column)):
        if known:
            return known[turn] if turn < len(known) else None
    loosely = asked.loosely.get(alike(column), ())
    return loosely[0] if len(loosely) == 1 else None


def _values(cell: str, options: Mapping[str, str]) -> tuple[str, ...]:
    """The options' keys if the cell is nothing but options; else the cell as it is, which is better than a guess."""
    if not options:
        return (cell,)
    if cell in options:
        return (options[cell],)
    for mark in _BETWEEN_OPTIONS:
        parts = [part.strip() for part in cell.split(mark)]
        if len(parts) > 1 and all(part in options for part in parts):
            return tuple(options[part] for part in parts)
    return (cell,)


def _questions(form: JsonObject) -> Iterator[tuple[Question, str | None]]:
    for entry in _objects(form.get("questions")):
        if isinstance(key := entry.get("key"), str):
            yield Question(key=key, options=_options(entry)), _label(entry.get("label"))
        for follower in _objects(entry.get("dependent_conditional_questions")):
            if isinstance(key := follower.get("field_key"), str):
                yield Question(key=key), _label(follower.get("name"))
    for parameter in _objects(form.get("tracking_parameters")):
        if isinstance(key := parameter.get("key"), str):
            yield Question(key=key), None


def _options(question: JsonObject) -> dict[str, str]:
    """Keys of options by key and by text; a text that two options share says nothing."""
    pairs = [(option.get("key"), option.get("value")) for option in _objects(question.get("options"))]
    choices = _objects(question.get("conditional_questions_choices"))
    pairs += [(choice.get("customized_token"), choice.get("value")) for choice in choices]
    keyed = [(key, text) for key, text in pairs if isinstance(key, str) and isinstance(text, str)]
    shared = Counter(text for _, text in set(keyed))
    return {text: key for key, text in keyed if shared[text] == 1} | {key: key for key, _ in keyed}


def _objects(value: object) -> Iterator[JsonObject]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _label(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _fixed(found: Mapping[str, list[Question]]) -> dict[str, tuple[Question, ...]]:
    return {name: tuple(_once(questions)) for name, questions in found.items()}


def _once(questions: list[Question]) -> Iterable[Question]:
    """Each key once: a follower may be listed among the questions too, and only there with its options."""
    by_key: dict[str, Question] = {}
    for question in questions:
        if question.options or question.key not in by_key:
            by_key[question.key] = question
    return by_key.values()


def _members(pairs: list[tuple[str, str]]) -> JsonObject:
    """An object of them; a name that comes again is numbered, so that nothing is lost."""
    members: JsonObject = {}
    for name, value in pairs:
        place, unused = 1, name
        while unused in members:
            place += 1
            unused = f"{name} ({place})"
        members[unused] = value
    return members


def _graph_time(seconds: int) -> str:
    """As Graph writes it: `2015-02-28T08:49:14+0000`."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
