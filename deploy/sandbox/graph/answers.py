"""What a person answers to a form, question by question, in the shapes Meta's `field_data` has."""

import random
from collections.abc import Callable, Mapping
from typing import TypedDict

from deploy.sandbox.graph.chance import between, digits, pick
from deploy.sandbox.graph.forms import Form, Question
from deploy.sandbox.graph.people import Person, invent_person

SLOPPY = 0.12
"""How often an optional question is left in one of the three ways Meta shows it: no `values`, `[]`, or `[""]`."""


class FieldData(TypedDict, total=False):
    """One element of a lead's `field_data`; `values` may be missing (domain notes, section 2.1)."""

    name: str
    values: list[str]


def invent_answers(form: Form, chance: random.Random, *, lead_id: str) -> list[FieldData]:
    """The field_data of a lead, tracking parameters included, in the order of the questions."""
    shape = form.shape
    country = pick(chance, shape["any_country"]) if "any_country" in shape else form.country
    person = invent_person(chance, country, national_phone=shape.get("national_phone", False))
    data: list[FieldData] = []
    for question in form.questions:
        if question.get("_only", country) != country:
            continue
        name = question["key"]
        if question.get("_optional") and chance.random() < SLOPPY:
            empty: tuple[FieldData, ...] = (
                {"name": name},
                {"name": name, "values": []},
                {"name": name, "values": [""]},
            )
            data.append(pick(chance, empty))
            continue
        data.append({"name": name, "values": _values(question, person, chance, lead_id)})
    if shape.get("phone_verified"):
        data.append({"name": "phone_number_verified", "values": [pick(chance, ("true", "false"))]})
    data.extend(tracking_answers(form.node))
    return data


def tracking_answers(node: Mapping[str, object]) -> list[FieldData]:
    """A form's tracking parameters as hidden fields of field_data."""
    parameters = node.get("tracking_parameters")
    if not isinstance(parameters, list):
        return []
    return [{"name": parameter["key"], "values": [parameter["value"]]} for parameter in parameters]


def dummy_answers(form: Form) -> list[FieldData]:
    """What the Lead Ads Testing Tool fills in when nobody says otherwise; the phone's value is over 40 characters."""
    data: list[FieldData] = []
    for question in form.questions:
        name = question["key"]
        if question["type"] == "EMAIL":
            value = "test@meta.com"
        elif question.get("options"):
            value = question["options"][0]["key"]
        else:
            value = f"<test lead: dummy data for {name}>"
        data.append({"name": name, "values": [value]})
    return data


def _values(question: Question, person: Person, chance: random.Random, lead_id: str) -> list[str]:
    if options := question.get("options"):
        several = min(question.get("_several", 1), len(options))
        if several == 1:
            return [pick(chance, options)["key"]]
        return [option["key"] for option in chance.sample(options, between(chance, 1, several))]
    if texts := question.get("_texts"):
        return [pick(chance, texts)]
    answer = _ANSWERS.get(question["type"])
    return [answer(person, chance) if answer else f"{question['type'].lower()} {lead_id[-4:]}"]


def cpf(chance: random.Random) -> str:
    """A Brazilian CPF with right check digits."""
    found = [between(chance, 0, 9) for _ in range(9)]
    for length in (10, 11):
        total = sum(digit * (length - place) for place, digit in enumerate(found))
        found.append(total * 10 % 11 % 10)
    text = "".join(map(str, found))
    return f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}"


def rut(chance: random.Random) -> str:
    """A Chilean RUT with its check character."""
    number = between(chance, 5_000_000, 25_000_000)
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(str(number))))
    check = (11 - total % 11) % 11
    return f"{number}-{'K' if check == 10 else check}"  # noqa: PLR2004 - eleven minus one is written K


def _website(person: Person, _: random.Random) -> str:
    return f"https://www.{person.email.split('@')[1]}/"


def _born(_: Person, chance: random.Random) -> str:
    return f"{between(chance, 1, 12):02d}/{between(chance, 1, 28):02d}/{between(chance, 1950, 2005)}"


def _appointment(_: Person, chance: random.Random) -> str:
    return f"2026-12-{between(chance, 1, 23):02d}T{between(chance, 9, 17):02d}:{pick(chance, ('00', '30'))}:00+0000"


def _one_of(*choices: str) -> Callable[[Person, random.Random], str]:
    return lambda _, chance: pick(chance, choices)


_ANSWERS: dict[str, Callable[[Person, random.Random], str]] = {
    "ADDRESS_LINE_TWO": _one_of("2. Stock", "Apt 4", "c/o Schmidt"),
    "CITY": lambda person, _: person.city,
    "COMPANY_NAME": _one_of("Acme & Sons Ltd", 'The "Best" Company', "Müller GmbH"),
    "COUNTRY": lambda person, _: person.country_name,
    "COUNTY": _one_of("Orange County", "Kings"),
    "CUSTOM": _one_of("yes", "no", "maybe"),
    "DATE_TIME": _appointment,
    "DOB": _born,
    "EDUCATION_LEVEL": _one_of("bachelor", "high_school", "master"),
    "EMAIL": lambda person, _: person.email,
    "EMAIL_ALIAS": lambda person, _: person.email.replace("@", "+alias@"),
    "FACEBOOK_LEAD_ID": lambda _, chance: digits(chance, 16),
    "FIRST_NAME": lambda person, _: person.first,
    "FULL_NAME": lambda person, _: f"{person.first} {person.last}",
    "GENDER": _one_of("female", "male"),
    "ID_AR_DNI": lambda _, chance: f"{between(chance, 10, 49)}.{digits(chance, 3)}.{digits(chance, 3)}",
    "ID_CL_RUT": lambda _, chance: rut(chance),
    "ID_CO_CC": lambda _, chance: f"10{digits(chance, 8)}",
    "ID_CPF": lambda _, chance: cpf(chance),
    "ID_EC_CI": lambda _, chance: f"17{digits(chance, 8)}",
    "ID_MX_RFC": lambda _, chance: f"HELJ{digits(chance, 6)}AB1",
    "ID_PE_DNI": lambda _, chance: digits(chance, 8),
    "JOB_TITLE": _one_of("Head of Estates", "CEO", "Einkauf / Purchasing"),
    "JOIN_CODE": lambda _, chance: f"JOIN-{digits(chance, 4)}",
    "LAST_NAME": lambda person, _: person.last,
    "LICENSE_PLATE": lambda _, chance: f"7ABC{digits(chance, 3)}",
    "MARITIAL_STATUS": _one_of("single", "married"),
    "MESSENGER": lambda _, chance: f"m.me/{digits(chance, 10)}",
    "MILITARY_STATUS": _one_of("none", "veteran"),
    "PHONE": lambda person, _: person.phone,
    "PHONE_OTP": lambda person, _: person.phone,
    "POST_CODE": lambda person, _: person.post_code,
    "PROVINCE": lambda person, _: person.state,
    "RELATIONSHIP_STATUS": _one_of("single", "in_a_relationship"),
    "SLIDER": lambda _, chance: str(between(chance, 1, 99) * 1000),
    "STATE": lambda person, _: person.region,
    "STORE_LOOKUP": lambda _, chance: f"99{digits(chance, 6)}",
    "STORE_LOOKUP_WITH_TYPEAHEAD": lambda _, chance: f"0{digits(chance, 5)}",
    "STREET_ADDRESS": lambda person, _: person.street,
    "THREAD_LINK": lambda _, chance: f"https://m.me/t/{digits(chance, 12)}",
    "USER_PROVIDED_PHONE_NUMBER": lambda person, _: person.phone,
    "VIN": lambda _, chance: f"1HGCM82633A{digits(chance, 6)}",
    "WEBSITE": _website,
    "WHATSAPP_NUMBER": lambda person, _: person.phone,
    "WORK_EMAIL": lambda person, _: person.email.replace("@", "@work."),
    "WORK_PHONE_NUMBER": lambda person, _: person.phone,
    "ZIP": lambda person, _: person.post_code,
}
