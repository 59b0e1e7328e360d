"""Made-up people of a country: names, phones, places; mail only at example domains."""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import yaml

from deploy.sandbox.graph.chance import between, digits, pick

MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com")


class Country(TypedDict):
    """One entry of people.yaml."""

    first: list[str]
    last: list[str]
    phones: list[str]
    national: list[str]
    places: list[list[str]]
    streets: list[str]
    country: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who fills in a form; `region` is the short code of the state, `state` its name."""

    country: str
    country_name: str
    first: str
    last: str
    email: str
    phone: str
    street: str
    city: str
    post_code: str
    region: str
    state: str


@cache
def countries() -> dict[str, Country]:
    """Every country of people.yaml by ISO code."""
    text = (Path(__file__).parent / "people.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Country]", yaml.safe_load(text))


def invent_person(chance: random.Random, country: str, *, national_phone: bool) -> Person:
    """Someone from `country`; with `national_phone` the number has no country code, so its region must be guessed."""
    source = countries()[country]
    first, last = pick(chance, source["first"]), pick(chance, source["last"])
    city, post_code, region, state = pick(chance, source["places"])
    pattern = pick(chance, source["national" if national_phone else "phones"])
    return Person(
        country=country,
        country_name=pick(chance, source["country"]),
        first=first,
        last=last,
        email=f"{_mailbox(first, last)}{between(chance, 0, 9999)}@{pick(chance, MAIL_DOMAINS)}",
        phone=_fill(pattern, chance),
        street=pick(chance, source["streets"]),
        city=city,
        post_code=post_code,
        region=region,
        state=state,
    )


@cache
def _mailbox(first: str, last: str) -> str:
    name = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    return name.strip(".") or "lead"


@cache
def _format_of(pattern: str) -> str:
    return pattern.replace("{d}", "%s")


def _fill(pattern: str, chance: random.Random) -> str:
    return _format_of(pattern) % tuple(digits(chance, pattern.count("{d}")))
