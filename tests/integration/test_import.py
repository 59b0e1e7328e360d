"""Files of leads beside live ones: whatever their shape, each lead once, and what is known better stays as it is."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.reading import Decoder
from ingest.records import AGAIN, DETAILS, LEADS, RAW, Received, Record, headers
from ingest.settings import RegistrySettings
from schemas.shapes import Lead
from tests.commands import Commands, answers_of
from tests.programs import System, eventually


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    system.env["XDG_STATE_HOME"] = str(tmp_path / "state")
    return Commands(system, tmp_path)


def newest(system: System, topic: str) -> Mapping[str, Received]:
    return {record.key.decode(): record for record in system.records(topic) if record.key is not None}


def completeness(system: System) -> Mapping[str, str | None]:
    return {lead: record.header("completeness") for lead, record in newest(system, DETAILS).items()}


def decoded(system: System) -> Mapping[str, Lead]:
    decode: Decoder[Lead] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]), "Lead", subject=system.topics.subject(LEADS)
    )
    return {lead: decode(record.value) for lead, record in newest(system, LEADS).items() if record.value is not None}


def fetched(system: System, lead: str, topic: str = RAW, *, origin: str | None = None) -> None:
    """The lead is announced, by Meta or once more by us, and waited for until it is fetched."""
    truth = system.graph.lead(lead)
    page = page_of(system, truth["form_id"])
    value = {"leadgen_id": lead, "page_id": page, "form_id": truth["form_id"], "created_time": 1}
    change = json.dumps({"field": "leadgen", "value": value}).encode()
    said = headers({"source": "webhook"}) + (headers({"origin": origin}) if origin else ())
    before = len(of(system, lead))
    system.put(Record(topic=topic, key=page.encode(), value=change, headers=said))
    eventually(lambda: len(of(system, lead)) > before, 60, f"{lead} on details")


def of(system: System, lead: str) -> list[Received]:
    return [record for record in system.records(DETAILS) if record.key == lead.encode()]


def page_of(system: System, form: str) -> str:
    return next(page.page_id for page in system.graph.pages() if form in page.form_ids)


def assert_as_at_meta(system: System, lead: Lead) -> None:
    """All that an export tells of a lead came out as it does of Meta's own answer."""
    truth = system.graph.lead(lead["lead_id"])
    assert lead["created_at"] is not None
    told: dict[str, object] = {**lead, "created_time": lead["created_at"].strftime("%Y-%m-%dT%H:%M:%S+0000")}
    names = ("ad_id", "ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name", "form_id", "platform")
    assert {name: told[name] for name in (*names, "is_organic", "created_time")} == {
        name: truth.get(name) for name in (*names, "is_organic", "created_time")
    }
    # The double's files have no column for tracking parameters, and an empty cell is no answer.
    asked = {question["key"] for question in system.graph.questions(str(truth["form_id"]))}
    assert {answer["key"]: answer["values"] for answer in lead["answers"] if any(answer["values"])} == {
        field["name"]: [str(value) for value in field["values"]]
        for field in truth["field_data"]
        if any(field.get("values") or []) and (field["name"] in asked or lead["completeness"] == "FULL")
    }
    assert all(answer["question"] for answer in lead["answers"] if answer["key"] in asked)


def broken(whole: bytes) -> tuple[str, list[str]]:
    """A file as people send it on, of ten rows; and the leads that can still be told, in its order."""
    header, *rows = csv.reader(io.StringIO(whole.decode()))
    ids = [row[0].removeprefix("l:") for row in rows]
    rows[1][0] = "5.88667E+14"  # as a spreadsheet saves it
    rows[2][1] = rows[2][1][:19]  # the offset is gone
    rows[3][0] = ""
    rows[4] += ["", "a separator", "too many"]
    rows.insert(6, rows[0])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    *lines, last = text.getvalue().splitlines()
    lines[6] = lines[6].replace(",CREATED", ',"CREATED')  # never closed
    return "\n".join([*lines, last[: len(last) // 2]]), [ids[0], *ids[6:-1]]


def moved(download: bytes) -> bytes:
    """The file after a person has worked with it: a column before all others, another one renamed."""
    rows = [line.split("\t") for line in download.decode("utf-16").splitlines()]
    header = ["Qualified", *("Created on" if name == "created_time" else name for name in rows[0])]
    return ("\ufeff" + "\n".join("\t".join(row) for row in [header, *(["yes", *row] for row in rows[1:])])).encode(
        "utf-16-le"
    )


def test_files_of_every_shape_become_leads_beside_live_ones(
    system: System, leadstream: Commands, tmp_path: Path
) -> None:
    """Ads Manager's two, one worked over, a broken one, and the endpoint. Two leads had been announced before."""
    for program in (system.start("work", "fetch"), system.start("work", "map")):
        program.wait_ready()
    pages = system.graph.pages()
    us, news, simple = pages[0].form_ids[:3]
    hindi = pages[2].form_ids[0]
    live = [system.graph.lead_ids(form)[0] for form in (us, simple)]
    for lead in live:
        fetched(system, lead)

    (tmp_path / "worked-over.csv").write_bytes(moved(system.graph.download(us)))
    (tmp_path / "news.csv").write_bytes(system.graph.download(news, style="ads_manager_csv"))
    text, readable = broken(system.graph.download(simple, style="ads_manager_csv"))
    (tmp_path / "broken.csv").write_text(text)
    files = ("worked-over.csv", "news.csv", "broken.csv")
    told = {form: set(system.graph.lead_ids(form)) for form in (us, news, hindi)} | {simple: set(readable)}

    plan = json.loads(leadstream("import", *files, "--page", pages[0].page_id, "--json").stdout)
    new = {form: len(told[form]) - (form != news) for form in (us, news, simple)}
    assert {form["form"]: form["taken"] for form in plan["forms"] if form["form"]} == new
    assert system.keys(DETAILS) == set(live)

    done = leadstream("import", *files, "--page", pages[0].page_id, "--refused", "refused.csv", "--yes", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["failure"], report["done"]) == (1, None, True)
    assert {form["form"]: form["taken"] for form in report["forms"] if form["form"]} == new
    assert (report["known"], report["repeated"], report["refused"]) == (2, 1, 6)
    rows = list(csv.DictReader((tmp_path / "refused.csv").read_text().splitlines()))
    assert [(row["file"], row["line"], row["reason"]) for row in rows] == [
        ("broken.csv", "3", "rounded-id"),
        ("broken.csv", "4", "time-without-offset"),
        ("broken.csv", "5", "no-id"),
        ("broken.csv", "6", "too-many-cells"),
        ("broken.csv", "7", "broken-quoting"),
        ("broken.csv", str(len(text.splitlines())), "too-few-cells"),
    ]

    assert leadstream("import", "--form", hindi).returncode == 1  # nobody here knows its page
    endpoint = leadstream.asked("import", "--form", hindi, "--page", pages[2].page_id, "--yes")
    assert endpoint["taken"] == len(told[hindi])
    everything = set[str]().union(*told.values())
    eventually(lambda: everything <= system.keys(LEADS), 60, "every lead of the files on leads.v1")
    assert system.keys(LEADS) == system.keys(DETAILS) == everything
    leads = decoded(system)
    for each in leads.values():
        assert_as_at_meta(system, each)
    assert {lead for lead, found in leads.items() if found["completeness"] == "FULL"} == set(live)
    assert {found["page_id"] for found in leads.values()} == {pages[0].page_id, pages[2].page_id}

    again = json.loads(leadstream("import", *files, "--yes", "--json").stdout)
    assert (again["taken"], again["known"]) == (0, report["taken"] + 2)
    assert len(system.records(DETAILS)) == len(everything)
    answers = [answer for lead in sorted(everything) for answer in answers_of(system, lead)]
    assert [answer for answer in answers if answer in leadstream.said] == []
    assert all(page.token not in leadstream.said for page in pages)


def test_what_is_known_better_stays_or_comes_back_and_what_was_erased_stays_so(
    system: System, leadstream: Commands, tmp_path: Path
) -> None:
    for program in (system.start("work", "fetch"), system.start("work", "map")):
        program.wait_ready()
    page = system.graph.pages()[0]
    form = page.form_ids[0]
    (tmp_path / "leads.csv").write_bytes(system.graph.download(form))
    first, second, third, *_ = leads = system.graph.lead_ids(form)
    assert leadstream.asked("import", "leads.csv", "--page", page.page_id, "--yes")["taken"] == len(leads)
    assert set(completeness(system).values()) == {"EXPORT"}

    fetched(system, first)
    fetched(system, second)
    assert completeness(system)[first] == completeness(system)[second] == "FULL"
    assert leadstream.asked("import", "leads.csv", "--yes")["known"] == len(leads)

    # A worker that may read less than before reads a lead again, and what it writes comes last.
    system.graph.hide_fields(page.page_id, ["ad_name"])
    fetched(system, first, AGAIN, origin="0@0")
    assert completeness(system)[first] == "REDUCED"
    system.put(Record(topic=DETAILS, key=third.encode(), value=None))
    report = leadstream.asked("import", "leads.csv", "--yes")
    assert (report["taken"], report["known"], report["erased"]) == (0, len(leads), 1)
    assert report["mended"] == {"leads": 1, "gone": [], "left": []}
    _, full, poorer, last = of(system, first)
    assert (last.value, last.headers, last.timestamp) == (full.value, full.headers, poorer.timestamp)
    assert of(system, third)[-1].value is None

    eventually(lambda: newest(system, LEADS)[third].value is None, 60, "the tombstone on leads.v1")
    eventually(lambda: decoded(system)[first]["completeness"] == "FULL", 60, "the whole lead on leads.v1")
    assert system.keys(LEADS) == set(leads)
