"""Made-up people of a country: names, phones, places; mail only at example domains."""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import yaml

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
    choice = chance.choice
    first, last = choice(source["first"]), choice(source["last"])
    city, post_code, region, state = choice(source["places"])
    ascii_name = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == ".")).strip(".")
    pattern = choice(source["national" if national_phone else "phones"])
    return Person(
        country=country,
        country_name=choice(source["country"]),
        first=first,
        last=last,
        email=f"{ascii_name or 'lead'}{chance.randrange(10_000)}@{choice(MAIL_DOMAINS)}",
        phone=_fill(pattern, chance),
        street=choice(source["streets"]),
        city=city,
        post_code=post_code,
        region=region,
        state=state,
    )


def _fill(pattern: str, chance: random.Random) -> str:
    first, *rest = pattern.split("{d}")
    digits = f"{chance.randrange(10 ** len(rest)):0{len(rest)}d}" if rest else ""
    return first + "".join(digit + piece for digit, piece in zip(digits, rest, strict=True))
