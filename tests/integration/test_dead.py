"""The way back with every process running: dead leads are redriven, chosen ones are fetched and mapped again."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.reading import Decoder
from ingest.records import AGAIN, CRM, DEAD, DETAILS, FATES, LEADS, Received, Record
from ingest.settings import RegistrySettings
from schemas.shapes import Lead
from tests.commands import Commands, answers_of
from tests.programs import System, eventually

ANSWER = "rosa.diaz@example.org"  # of a person, on a record that map cannot read


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    return Commands(system, tmp_path)


def states(leadstream: Commands, *filters: str) -> Counter[tuple[str, str]]:
    """How many dead letters of each lead have each state."""
    return Counter((row["lead"], row["state"]) for row in leadstream.asked("dead", "list", *filters)["letters"])


def newest(system: System, topic: str) -> Mapping[str, Received]:
    return {record.key.decode(): record for record in system.records(topic) if record.key is not None}


def decoded(system: System) -> dict[str, Lead]:
    decode: Decoder[Lead] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]), "Lead", subject=system.topics.subject(LEADS)
    )
    return {lead: decode(record.value) for lead, record in newest(system, LEADS).items() if record.value is not None}


def headers_and_fates(system: System) -> str:
    records = [record for topic in (DEAD, AGAIN, FATES, DETAILS, LEADS) for record in system.records(topic)]
    headers = [value.decode() for record in records for _, value in record.headers]
    return "\n".join(headers + [(record.value or b"").decode() for record in system.records(FATES)])


def test_leads_that_died_of_a_field_that_nobody_might_read_arrive_after_the_repair(
    system: System, leadstream: Commands
) -> None:
    """Asked for with fewer fields too, they were refused. What nobody has repaired dies again, and is open again."""
    programs = [system.start("serve"), system.start("work", "fetch"), system.start("work", "map")]
    for program in programs:
        program.wait_ready()
    page = system.graph.pages()[0]
    system.graph.hide_fields(page.page_id, ["field_data"])
    system.graph.wait(system.graph.deliver(system.webhook, 5, page=page.page_id).job)
    leads = system.graph.acknowledged()
    assert system.graph.send(system.webhook, "one_bad_change", form=system.graph.pages()[1].form_ids[0]).status == "200"
    eventually(lambda: len(system.records(DEAD)) == 6, 60, "five dead leads and a change that could not be read")

    assert states(leadstream, "--page", page.page_id, "--reason", "bad-field") == {(lead, "open"): 1 for lead in leads}
    system.graph.hide_fields(page.page_id, [])
    plan = leadstream.asked("dead", "redrive")
    assert plan["send"] == [{"stage": "fetch", "target": None, "reason": "bad-field", "to": AGAIN, "letters": 5}]
    assert (plan["records"], plan["others"]) == (5, 0)
    assert [left["stage"] for left in plan["leave"]] == ["ingest"]
    assert system.records(AGAIN) == []
    assert leadstream("dead", "redrive", "--yes").returncode == 0
    eventually(lambda: set(leads) <= system.keys(LEADS), 60, "the dead leads on leads.v1")
    assert {newest(system, LEADS)[lead].origin for lead in leads} == {record.origin for record in system.records(AGAIN)}

    again = leadstream("dead", "redrive", "--yes")
    assert (again.returncode, "Nothing to send." in again.stderr) == (0, True)
    assert len(system.records(AGAIN)) == 5
    # Which of the two depends on whether fetch or the redrive told its word last; either closes it.
    closed = states(leadstream, "--stage", "fetch")
    assert closed.total() == len(leads)
    assert {lead for lead, _ in closed} == set(leads)
    assert {state for _, state in closed} <= {"superseded", "redriven"}

    system.put(Record(topic=DETAILS, key=b"4711", value=f"no frame: {ANSWER}".encode()))
    eventually(lambda: states(leadstream, "--stage", "map") == {("4711", "open"): 1}, 60, "map has a dead letter")
    assert ANSWER not in leadstream.said
    [of_map] = leadstream.asked("dead", "list", "--stage", "map")["letters"]
    shown = leadstream("dead", "show", of_map["at"], "--raw")
    assert shown.stdout == f"no frame: {ANSWER}"
    assert "a person's answers" in shown.stderr
    assert leadstream("dead", "redrive", "--stage", "map", "--yes").returncode == 0
    both = {("4711", "superseded"): 1, ("4711", "open"): 1}
    eventually(lambda: states(leadstream, "--stage", "map") == both, 60, "no repair, so it died again")
    copies = [record for record in system.records(DETAILS) if record.key == b"4711"]
    assert len({(record.value, record.timestamp) for record in copies}) == 1

    told = headers_and_fates(system)
    answers = {value for lead in leads for value in answers_of(system, lead)}
    assert {secret for secret in answers | {page.token, ANSWER} if secret in told} == set()
    assert {secret for secret in answers | {page.token} if secret in leadstream.said} == set()


def test_leads_that_one_mapping_file_fails_for_are_on_its_topic_once_the_file_is_mended(
    system: System, leadstream: Commands, tmp_path: Path
) -> None:
    """They are dead for that target only, and a redrive maps each of them once more, for all of them."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    system.env |= {"MAPPING_DIR": str(mappings), "MAPPING_CHECK": "0.2", "XDG_STATE_HOME": str(tmp_path / "state")}
    email = "{doc: Where to write., from: [{standard: email}, {standard: work_email}]}"
    budget = "{doc: What they spend., from: [{field: budget}], required: %s}"
    write(mappings, "all", f"email: {email}")
    write(mappings, "strict", f"email: {email}", f"budget: {budget % 'true'}")
    system.apply_topics()
    worker = [system.start(*command).wait_ready() for command in (("serve",), ("work", "fetch"), ("work", "map"))][-1]
    system.graph.wait(system.graph.deliver(system.webhook, 40).job)
    leads = set(system.graph.acknowledged())
    eventually(lambda: leads <= system.keys(LEADS), 60, "every lead on leads.v1")

    def counts(target: str) -> dict[str, int]:
        told = leadstream.asked("status")
        assert (told["lost"]["count"], told["map"][LEADS]) == (0, {"mapped": len(leads)})
        counts: dict[str, int] = told["map"][f"{CRM}{target}.v1"]
        return counts

    eventually(lambda: "unread" not in counts("strict"), 60, "every offset committed")
    died = {row["lead"] for row in leadstream.asked("dead", "list", "--target", "strict.v1")["letters"]}
    assert 0 < len(died) < len(leads)
    assert system.keys(f"{CRM}strict.v1") == leads - died
    assert counts("strict") == {"mapped": len(leads) - len(died), "dead": len(died)}
    assert counts("all") == {"mapped": len(leads)}
    listed = leadstream.asked("dead", "list", "--target", "strict.v1")
    assert {(row["target"], row["reason"], *row["fields"]) for row in listed["letters"]} == {
        ("strict.v1", "required", "budget")
    }
    assert leadstream.asked("dead", "list", "--target", "all.v1")["letters"] == []
    shown = leadstream("dead", "show", listed["letters"][0]["at"]).stdout
    assert [line.split() for line in shown.splitlines() if line.startswith(("target", "field"))] == [
        ["target", "strict.v1"],
        ["field", "budget"],
    ]

    write(mappings, "strict", f"email: {email}", f"budget: {budget % 'false'}")
    eventually(lambda: worker.log.read_text().count('"mapping.read"') == 3, 60, "the mended file is in force")
    before = len(system.records(DETAILS))
    assert leadstream("dead", "redrive", "--target", "strict.v1", "--yes").returncode == 0
    eventually(lambda: system.keys(f"{CRM}strict.v1") == leads, 60, "every lead for the mended file")
    eventually(lambda: counts("strict") == {"mapped": len(leads)}, 60, "every offset committed")
    assert counts("all") == {"mapped": len(leads)}
    assert states(leadstream) == {(lead, "redriven"): 1 for lead in died}
    assert leadstream.asked("status")["dead"] == []
    assert "Nothing to send." in leadstream("dead", "redrive", "--yes").stderr
    again = system.records(DETAILS)[before:]
    assert {record.key.decode() for record in again if record.key} == died
    assert len(again) == len(died)
    assert {name for record in again for name, _ in record.headers} & {"target", "field", "fate-reason"} == set()
    answers = {value for lead in leads for value in answers_of(system, lead)}
    told = leadstream.said.replace(shown, "") + headers_and_fates(system)  # to show a letter is to show its answers
    assert {secret for secret in answers if secret in told} == set()


def write(folder: Path, target: str, *fields: str) -> None:
    draft = folder / f"{target}.new"
    draft.write_text("\n  ".join([f"target: {target}\nowner: the tests\ndoc: For {target}.\nfields:", *fields]))
    draft.replace(folder / f"{target}.yaml")


def test_a_chosen_lead_is_fetched_again_and_a_chosen_answer_is_mapped_without_meta(
    system: System, leadstream: Commands
) -> None:
    """While the workers run, as no offset is moved; leads.v1 is by key what it was."""
    for program in [system.start("serve"), system.start("work", "fetch"), system.start("work", "map")]:
        program.wait_ready()
    system.graph.wait(system.graph.deliver(system.webhook, 6, changes_per_post=3).job)
    leads = system.graph.acknowledged()
    eventually(lambda: set(leads) <= system.keys(LEADS), 60, "the leads")
    before, first = decoded(system), newest(system, LEADS)
    calls = system.graph.lead_calls()
    chosen = leads[0]

    planned = leadstream.asked("replay", "fetch", "--lead", chosen)
    assert (planned["records"], len(system.records(AGAIN))) == (1, 0)
    assert leadstream("replay", "fetch", "--lead", chosen, "--yes").returncode == 0
    eventually(lambda: newest(system, LEADS)[chosen].offset > first[chosen].offset, 60, "the lead came again")
    assert system.graph.lead_calls() == calls | {chosen: calls[chosen] + 1}
    assert {**decoded(system), chosen: untimed(decoded(system)[chosen])} == {**before, chosen: untimed(before[chosen])}
    assert newest(system, LEADS)[chosen].origin == first[chosen].origin

    page = before[chosen]["page_id"]
    of_page = {lead for lead, said in before.items() if said["page_id"] == page}
    second, total = newest(system, LEADS), system.graph.calls().total
    assert leadstream.asked("replay", "map", "--page", str(page))["records"] == len(of_page)
    assert leadstream("replay", "map", "--page", str(page), "--yes").returncode == 0
    eventually(lambda: len(system.records(LEADS)) == 7 + len(of_page), 60, "the page's leads were mapped again")
    third = newest(system, LEADS)
    assert {lead for lead in leads if third[lead].offset > second[lead].offset} == of_page
    assert {lead: (it.value, it.timestamp) for lead, it in third.items()} == {
        lead: (it.value, it.timestamp) for lead, it in second.items()
    }
    assert system.graph.calls().total == total

    nobody = leadstream("replay", "map", "--lead", "1", "--yes")
    assert (nobody.returncode, "nothing to send" in nobody.stderr) == (1, True)


def untimed(lead: Lead) -> dict[str, object]:
    """All but when it was fetched."""
    return {name: value for name, value in lead.items() if name != "fetched_at"}
