"""Forms change while leads flow: each lead goes with the form of its time, and whoever maps them hears of it."""

import json
import re
import time
from collections.abc import Iterable

from deploy.reading import Decoder
from ingest.records import DETAILS, FORMS, RAW
from ingest.settings import RegistrySettings
from processors.form_watch import FIRST_SECONDS
from processors.turns import partition_of
from schemas.shapes import Form, LeadDetails
from tests.programs import Program, System, eventually

NEW_QUESTION = {"type": "CUSTOM", "key": "preferred_color", "label": "Which color?", "options": []}


def start(system: System, *names: str, forms_check: str = "1") -> dict[str, Program]:
    commands = {name: ("serve",) if name == "serve" else ("work", name) for name in names}
    programs = {name: system.start(*command, FORMS_CHECK=forms_check) for name, command in commands.items()}
    return {name: program.wait_ready() for name, program in programs.items()}


def told(system: System) -> list[Form]:
    return [json.loads(record.value) for record in system.records(FORMS) if record.value is not None]


def versions(system: System, form_id: str) -> list[str]:
    """The versions of a form, by the records that tell of them."""
    return [form["version"] for form in told(system) if form["form_id"] == form_id]


def statuses(system: System, form_id: str) -> list[object]:
    return [form["form"]["status"] for form in told(system) if form["form_id"] == form_id]


def details(system: System) -> dict[str, LeadDetails]:
    decode: Decoder[LeadDetails] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]), "LeadDetails", subject=system.topics.subject(DETAILS)
    )
    return {
        record.key.decode(): decode(record.value)
        for record in system.records(DETAILS)
        if record.key is not None and record.value is not None
    }


def events(programs: Iterable[Program], form_id: str) -> list[tuple[str, str]]:
    lines = [
        json.loads(line) for program in programs for line in program.log.read_text().splitlines() if "form." in line
    ]
    return [(line["event"], line["status"]) for line in lines if line.get("form_id") == form_id]


def counted(program: Program) -> dict[str, float]:
    found = re.findall(
        r'^leadstream_form_events_total\{.*?kind="(\w+)".*?\} ([0-9.]+)$', program.metrics(), re.MULTILINE
    )
    return {kind: float(number) for kind, number in found}


def reading_calls(system: System, form_id: str) -> int:
    """How often the form was asked for by itself."""
    page = next(form.page_id for form in system.graph.forms() if form.form_id == form_id)
    return system.graph.calls(page=page, endpoint="form").total


def test_a_question_that_is_new_has_the_form_read_at_once_and_older_leads_keep_theirs(system: System) -> None:
    """By fetch alone: nobody else looks at the forms."""
    start(system, "serve", "fetch")
    page = system.graph.pages()[0]
    form_id = page.form_ids[0]
    system.graph.forget_calls()

    older = system.graph.deliver(system.webhook, 120, forms=[form_id], changes_per_post=3, rate=20)
    eventually(lambda: len(system.keys(DETAILS)) >= 20, 60, "the first leads fetched")
    system.graph.edit_form(form_id, questions=[*system.graph.questions(form_id), NEW_QUESTION])
    newer = system.graph.deliver(system.webhook, 40, forms=[form_id], changes_per_post=3, rate=20)
    for job in (older.job, newer.job):
        system.graph.wait(job)
    acknowledged = set(system.graph.acknowledged())
    assert len(acknowledged) == 160
    eventually(lambda: acknowledged <= system.keys(DETAILS), 60, "every acknowledged lead fetched")

    before, after = versions(system, form_id)
    for lead_id, found in details(system).items():
        asked = {field["name"] for field in system.graph.lead(lead_id)["field_data"]}
        assert found["form_version"] == (after if NEW_QUESTION["key"] in asked else before)
        assert (str(NEW_QUESTION["key"]) in (found["form"] or "")) == (NEW_QUESTION["key"] in asked)
    assert reading_calls(system, form_id) == 2


def test_new_edited_and_archived_forms_are_told_within_seconds_and_leads_go_with_the_form_of_their_time(
    system: System,
) -> None:
    begun = time.monotonic()
    programs = start(system, "serve", "retry")
    forms = {form.form_id for form in system.graph.forms()}
    eventually(lambda: {form["form_id"] for form in told(system)} == forms, 60, "every form told before its first lead")
    first = time.monotonic() - begun
    assert counted(programs["retry"]) == {"new": len(forms)}
    programs |= start(system, "fetch")

    page = system.graph.pages()[0]
    edited, archived, *_ = page.form_ids
    older = system.graph.deliver(system.webhook, 100, forms=[edited], changes_per_post=3, rate=12)
    eventually(lambda: len(system.keys(DETAILS)) >= 20, 60, "the first leads fetched")
    before_edit = set(system.graph.lead_ids(edited))

    # The same questions in other words: only the time of a lead tells which it was given on.
    question, *others = system.graph.questions(edited)
    begun = time.monotonic()
    system.graph.edit_form(edited, questions=[question | {"label": "Another label"}, *others])
    system.graph.edit_form(archived, status="ARCHIVED")
    added = system.graph.add_form(page.page_id, "newsletter").form_id
    eventually(lambda: len(versions(system, edited)) == 2, 60, "the edited form")
    eventually(lambda: versions(system, added), 60, "the new form")
    eventually(lambda: statuses(system, archived) == ["ACTIVE", "ARCHIVED"], 60, "the archived form")
    drift = time.monotonic() - begun

    assert programs["fetch"].kill_child()  # what is known of a form outlives who has seen it
    newer = system.graph.deliver(system.webhook, 50, forms=[edited], changes_per_post=3, rate=25)
    for job in (older.job, newer.job):
        system.graph.wait(job)
    acknowledged = set(system.graph.acknowledged())
    assert len(acknowledged) == 150
    eventually(lambda: acknowledged <= system.keys(DETAILS), 90, "every acknowledged lead fetched")

    before, after = versions(system, edited)
    wrong = {
        lead_id
        for lead_id, found in details(system).items()
        if found["form_version"] != (before if lead_id in before_edit else after)
    }
    assert wrong == set()
    assert events(programs.values(), edited) == [("form.new", "ACTIVE"), ("form.changed", "ACTIVE")]
    assert events(programs.values(), archived) == [("form.new", "ACTIVE"), ("form.archived", "ARCHIVED")]
    assert events(programs.values(), added) == [("form.new", "ACTIVE")]
    assert counted(programs["retry"]) == {"new": len(forms) + 1, "changed": 1, "archived": 1}

    # Nobody tells what is known: not the next looks, nor a worker that has just started.
    records = len(told(system))
    assert programs["retry"].kill_child()
    calls = system.graph.calls(endpoint="leadgen_forms").total
    eventually(
        lambda: system.graph.calls(endpoint="leadgen_forms").total >= calls + 3 * len(system.graph.pages()), 60, "looks"
    )
    assert len(told(system)) == records
    print(f"\nall {len(forms)} forms told {first:.1f} s after the start, drift {drift:.1f} s after it happened")  # noqa: T201  the figures
    assert drift < FIRST_SECONDS + 10
    # A page is looked at by who holds its records.
    held = {(record.key or b"").decode(): record.partition for record in system.records(RAW)}
    assert held == {page_id: partition_of(page_id, 12) for page_id in held}
    secrets = {page.token for page in system.graph.pages()}
    assert not [name for name, program in programs.items() if any(each in program.log.read_text() for each in secrets)]
