"""Every example in schemas/examples is what its name says: fit or unfit, by the code and the schemas that decide."""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

import schemas
from ingest.codec import Codec, DoesNotFit
from ingest.meta.graph.forms import snapshot
from ingest.meta.notification import BadChange, Notification
from ingest.meta.webhook import FlatLead, Unreadable, read
from ingest.records import HeaderName
from processors.lead import map_lead
from schemas.shapes import Access, Fate, Form, Health

EXAMPLES = Path(str(files(schemas))) / "examples"
CASES = sorted(EXAMPLES.glob("*/*.json"))


class Unfit(Exception):
    """The example is not what it should be."""


def judge_webhook(text: bytes) -> None:
    try:
        delivery = read(text, delivery="d", received_at=0)
    except (Unreadable, FlatLead) as error:
        raise Unfit from error
    assert delivery.records
    assert not delivery.dead


def judge_change(text: bytes) -> None:
    try:
        Notification.read(text)
    except BadChange as error:
        raise Unfit from error


def judge_avro(name: str) -> Callable[[bytes], None]:
    def judge(text: bytes) -> None:
        codec: Codec[Any] = Codec(name, schema_id=1)
        record = with_times(json.loads(text), schemas.avro(name))
        try:
            frame = codec.encode(record)
        except DoesNotFit as error:
            raise Unfit from error
        assert codec.decode(frame) == record

    return judge


def judge_shape(shape: Any) -> Callable[[bytes], None]:
    # Before Python 3.12 pydantic reads only this twin of the standard library's TypedDict.
    twin: Any = TypedDict
    adapter: TypeAdapter[object] = TypeAdapter(twin(shape.__name__, get_type_hints(shape, include_extras=True)))

    def judge(text: bytes) -> None:
        try:
            adapter.validate_python(json.loads(text), strict=True, extra="forbid")
        except ValidationError as error:
            raise Unfit from error

    return judge


def judge_dead(text: bytes) -> None:
    """The headers of a dead letter: none that is not listed, as an error's own text may quote a person."""
    headers = json.loads(text)
    if headers.keys() - set(get_args(HeaderName)) or not {"stage", "fate-reason", "origin"} <= headers.keys():
        raise Unfit
    assert all(isinstance(value, str) for value in headers.values())


JUDGES: Mapping[str, Callable[[bytes], None]] = {
    "webhook": judge_webhook,
    "change": judge_change,
    "details": judge_avro("LeadDetails"),
    "lead": judge_avro("Lead"),
    "update": judge_avro("LeadUpdate"),
    "form": judge_shape(Form),
    "fate": judge_shape(Fate),
    "access": judge_shape(Access),
    "health": judge_shape(Health),
    "dead": judge_dead,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_an_example_is_what_its_name_says(case: Path) -> None:
    judge = JUDGES[case.parent.name]
    if case.name.endswith(".pass.json"):
        judge(case.read_bytes())
    else:
        assert case.name.endswith(".fail.json")
        with pytest.raises(Unfit):
            judge(case.read_bytes())


def test_every_kind_of_record_has_an_example_that_fits_and_one_that_does_not() -> None:
    told = {(case.parent.name, case.name.split(".")[1]) for case in CASES}
    assert told == {(thing, verdict) for thing in JUDGES for verdict in ("pass", "fail")}


@pytest.mark.parametrize("case", sorted(EXAMPLES.glob("details/*.pass.json")), ids=lambda case: case.stem)
def test_the_example_of_a_lead_is_what_its_details_are_mapped_to(case: Path) -> None:
    details: Any = with_times(json.loads(case.read_bytes()), schemas.avro("LeadDetails"))
    lead = json.loads((EXAMPLES / "lead" / case.name).read_bytes())
    assert with_times(lead, schemas.avro("Lead")) == map_lead(details)


@pytest.mark.parametrize("case", sorted(EXAMPLES.glob("details/*.pass.json")), ids=lambda case: case.stem)
def test_the_form_in_an_example_has_the_version_that_is_said(case: Path) -> None:
    details = json.loads(case.read_bytes())
    if details["form"] is not None:
        assert snapshot(json.loads(details["form"])).version == details["form_version"]


def with_times(record: dict[str, Any], schema: schemas.Schema) -> dict[str, Any]:
    """The record with its times, which JSON has as text, as Avro's logical types want them."""
    of_kind = {"timestamp-millis": datetime.fromisoformat, "date": date.fromisoformat}
    fields: Any = schema["fields"]
    read = dict(record)
    for field in fields:
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for branch in branches:
            kind = branch.get("logicalType") if isinstance(branch, dict) else None
            if kind and isinstance(read.get(field["name"]), str):
                read[field["name"]] = of_kind[kind](read[field["name"]])
    return read
