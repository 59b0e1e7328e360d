"""A form's snapshot, read once: what was asked, what could be chosen, what was agreed to. Performs no I/O of its own.

Nothing in a snapshot can make a lead fail: what is missing or of an unexpected shape is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from processors.lead import normalise
from processors.lead.loose import a_list, a_text, an_object, parse
from processors.lead.standard import BY_TYPE, Field

_LOCALE = re.compile(r"([A-Za-z]{2,3})_([A-Za-z]{2})")
# Meta's locales whose second half is no country: Arabic for everyone, and Spanish for Latin America.
# https://developers.facebook.com/docs/graph-api/reference/page/leadgen_forms
_NO_COUNTRY = frozenset({"ar_AR", "es_LA"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; `options` are the texts people chose from, by key and by text, and None if it has none."""

    label: str | None
    type: str | None
    options: Mapping[str, str] | None
    field: Field | None = None  # of a lead, which the answer fills
    is_sensitive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkbox:
    """A box of the custom disclaimer."""

    key: str
    text: str | None
    is_required: bool | None
    is_checked_by_default: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a snapshot tells; empty where there is none."""

    name: str | None = None
    locale: str | None = None  # as Meta writes it
    language: str | None = None  # as gettext writes it, such as pt_BR
    country: str | None = None  # of the locale, as ISO 3166-1 alpha-2
    questions: Mapping[str, Question] = field(default_factory=dict)
    tracking: frozenset[str] = frozenset()
    privacy_policy_url: str | None = None
    privacy_policy_text: str | None = None
    disclaimer_title: str | None = None
    disclaimer_text: str | None = None
    checkboxes: Mapping[str, Checkbox] = field(default_factory=dict)  # by their keys, in the form's order


# Kept by the text itself, not by the form's version: that does not cover all that is read here.
@lru_cache(maxsize=256)
def read_form(snapshot: str) -> Form:
    """The form in a Graph node's JSON text; `ValueError` if that is not JSON."""
    node = an_object(parse(snapshot))
    legal = an_object(node.get("legal_content"))
    policy = an_object(legal.get("privacy_policy"))
    disclaimer = an_object(legal.get("custom_disclaimer"))
    locale = a_text(node.get("locale"))
    language, country = read_locale(locale)
    return Form(
        name=a_text(node.get("name")),
        locale=locale,
        language=language,
        country=country,
        questions=_questions(node),
        tracking=frozenset(_tracking(node)),
        privacy_policy_url=a_text(policy.get("url")) or a_text(node.get("privacy_policy_url")),
        privacy_policy_text=a_text(policy.get("link_text")),
        disclaimer_title=a_text(disclaimer.get("title")),
        disclaimer_text=a_text(an_object(disclaimer.get("body")).get("text")),
        checkboxes={box.key: box for box in _checkboxes(disclaimer)},
    )


@lru_cache(maxsize=256)
def read_locale(locale: str | None) -> tuple[str | None, str | None]:
    """Of Meta's `pt_BR`: the language as gettext writes it, and the country as ISO 3166-1 alpha-2, None for none."""
    found = _LOCALE.fullmatch(locale or "")
    if not found:
        return None, None
    language, country = found[1].lower(), found[2].upper()
    name = f"{language}_{country}"
    return name, None if name in _NO_COUNTRY else country


def _questions(node: Mapping[str, object]) -> dict[str, Question]:
    asked = [an_object(entry) for entry in a_list(node.get("questions"))]
    questions = dict(follower for entry in asked for follower in _followers(entry))
    for entry in asked:
        if key := a_text(entry.get("key")):
            choices = _choices(entry)
            options = _options(entry) | (choices[0] if choices else {})
            if not options and key in questions:  # a follower that is listed too: its choices are told only there
                options = dict(questions[key].options or {})
            type_ = a_text(entry.get("type")) or ""
            questions[key] = Question(
                label=a_text(entry.get("label")),
                type=type_ or None,
                options=options or None,
                field=BY_TYPE.get(type_),
                is_sensitive=type_.startswith("ID_"),
            )
    return questions


def _followers(question: Mapping[str, object]) -> Iterator[tuple[str, Question]]:
    """A conditional question's followers; the n-th one's choices lie n levels down in the tree of choices."""
    levels = _choices(question)
    for level, follower in enumerate(a_list(question.get("dependent_conditional_questions")), start=1):
        entry = an_object(follower)
        if key := a_text(entry.get("field_key")):
            options = levels[level] if level < len(levels) else None
            yield key, Question(label=a_text(entry.get("name")), type=None, options=options or None)


def _options(question: Mapping[str, object]) -> dict[str, str]:
    return _texts(
        (option.get("key"), option.get("value")) for option in map(an_object, a_list(question.get("options")))
    )


def _choices(question: Mapping[str, object]) -> list[dict[str, str]]:
    """The texts of a conditional question's choices, one mapping for each level of the tree."""
    levels: list[dict[str, str]] = []
    level = [an_object(choice) for choice in a_list(question.get("conditional_questions_choices"))]
    while level:
        levels.append(_texts((choice.get("customized_token"), choice.get("value")) for choice in level))
        level = [an_object(below) for choice in level for below in a_list(choice.get("next_question_choices"))]
    return levels


def _texts(choices: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Keys and texts to texts: an answer is a choice's key where it has one, else its text."""
    known = [(a_text(key), text) for key, shown in choices if (text := a_text(shown))]
    return {text: text for _, text in known} | {key: text for key, text in known if key}


def _tracking(node: Mapping[str, object]) -> Iterator[str]:
    for parameter in map(an_object, a_list(node.get("tracking_parameters"))):
        if key := a_text(parameter.get("key")):
            yield key
    yield from an_object(node.get("tracking_parameters"))  # a map where forms are made, a list where they are read


def _checkboxes(disclaimer: Mapping[str, object]) -> Iterator[Checkbox]:
    for box in map(an_object, a_list(disclaimer.get("checkboxes"))):
        if key := a_text(box.get("key")):
            yield Checkbox(
                key=key,
                text=a_text(box.get("text")),
                is_required=normalise.boolean(box.get("is_required")),
                is_checked_by_default=normalise.boolean(box.get("is_checked_by_default")),
            )
