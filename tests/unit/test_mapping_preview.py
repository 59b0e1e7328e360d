"""What `leadstream mapping preview` looks at, compares, counts and shows."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.mapping.preview import in_json, print_lead, print_summary
from deploy.mapping.trial import Live, Summary, Tried, live_records, newest, of_leads, read_leads, try_lead
from ingest.codec import Damaged
from ingest.reading import NoSuchTopic
from ingest.records import DETAILS, Received, Record, headers
from processors.mapping.file import Mapping as MappingFile
from processors.mapping.target import Target
from schemas.shapes import LeadDetails
from tests.cluster import Cluster
from tests.mapped import LEAD_ID, a_field, a_lead, a_mapping

OTHER = "e" * 64
MAPPING = a_mapping(
    {
        "name": a_field({"standard": "full_name"}),
        "cars": a_field({"field": "car"}, through=["option_text"], type="strings"),
        "age": a_field({"field": "age"}, through=["number"], type="int"),
    },
    ignore=["terms"],
)
ADA = a_lead(("wer", "Ada Lovelace"), ("car", ["honda", "BMW, any"]), ("age", "36"), ("more", "please"))


def tried(mapping: MappingFile = MAPPING, live: Mapping[str, object] | None = None, by: str = OTHER) -> Tried:
    return try_lead(Target(mapping), ADA, None if live is None else Live(record=live, mapping=by))


def keys(records: list[Received]) -> list[str]:
    return [(each.key or b"").decode() for each in records]


def put(cluster: Cluster, lead: str, value: bytes | None = b"x", partition: int | None = None) -> None:
    cluster.put(Record(topic=DETAILS, key=lead.encode(), value=value), partition)


def test_the_leads_that_came_last_are_looked_at_each_once_and_erased_ones_not() -> None:
    cluster = Cluster()
    for lead in ("a", "b", "c", "d", "a", "e"):
        put(cluster, lead)
    put(cluster, "d", None)
    name = cluster.topics(DETAILS)
    assert keys(newest(cluster, name, 2)) == ["a", "e"]
    assert keys(newest(cluster, name, 50)) == ["b", "c", "a", "e"]
    assert newest(cluster, cluster.topics("nothing"), 5) == []


def test_more_is_looked_at_where_the_last_records_are_of_few_leads() -> None:
    """As many as were asked for, however often the last of them came again."""
    cluster = Cluster()
    for lead in ("a", "b", "c", *["z"] * 40):
        put(cluster, lead, partition=0)
    assert keys(newest(cluster, cluster.topics(DETAILS), 3)) == ["b", "c", "z"]


def test_chosen_leads_are_found_wherever_they_lie() -> None:
    cluster = Cluster()
    for lead in ("a", "b", "c", "a", "d"):
        put(cluster, lead)
    put(cluster, "b", None)
    found = of_leads(cluster, cluster.topics(DETAILS), {"a", "b", "none"})
    assert [(each.key, each.offset) for each in found] == [(b"a", 2)]


class NoTopic(Cluster):
    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        raise NoSuchTopic(topic)


def test_where_there_is_no_topic_nothing_is_live() -> None:
    assert live_records(NoTopic(), "t.leads.crm.sales.v1", {"a"}, lambda _: {}) == {}


def test_what_is_live_is_the_newest_record_and_who_made_it() -> None:
    cluster = Cluster()
    for value, by in ((b"1", "old"), (b"2", "new")):
        cluster.put(Record(topic=MAPPING.topic, key=b"a", value=value, headers=headers({"mapping": by})))
    found = live_records(cluster, cluster.topics(MAPPING.topic), {"a"}, lambda value: {"name": value.decode()})
    assert found == {"a": Live(record={"name": "2"}, mapping="new")}


def test_a_record_that_holds_no_lead_is_counted() -> None:
    def decode(value: bytes) -> LeadDetails:
        if value == b"damaged":
            raise Damaged
        return {
            "lead_id": "1",
            "page_id": None,
            "form_id": None,
            "answer": value.decode(),
            "completeness": "FULL",
            "missing_fields": [],
            "source": "webhook",
            "api_version": None,
            "change": None,
            "form": None,
            "form_version": None,
            "received_at": None,
            "fetched_at": datetime(2026, 11, 24, tzinfo=UTC),
        }

    cluster, summary = Cluster(partitions=1), Summary()
    for value in (b"damaged", b"[]", b'{"id": "1"}'):
        put(cluster, "a", value)
    assert [lead["lead_id"] for lead in read_leads(cluster.on(DETAILS), decode, summary)] == ["1"]
    assert summary.no_lead == 2


def test_what_would_change_is_told_also_of_fields_that_the_file_has_no_more() -> None:
    record = tried().record
    assert tried(live=record).changed == ()
    assert tried(live={**record, "gone": None}).changed == ()
    assert tried(live={**record, "gone": "x", "name": "Ada"}).changed == ("name", "gone")
    assert tried(live={"lead_id": LEAD_ID}).changed == ("name", "cars", "age", "unmapped")
    assert tried().changed == ()


def test_what_would_not_be_written_changes_nothing() -> None:
    failing = a_mapping({"name": a_field({"standard": "full_name"}, through=["email"])})
    assert tried(failing, live={"name": "x"}).changed == ()
    left_out = a_mapping({"name": a_field({"standard": "full_name"})}, filter={"forms": ["1"]})
    assert tried(left_out, live={"name": "x"}).changed == ()


def test_only_leads_that_the_filter_takes_fail_and_are_counted() -> None:
    summary = Summary()
    fields = {"name": a_field({"standard": "full_name"}, through=["email"])}
    taken, left_out = tried(a_mapping(fields)), tried(a_mapping(fields, filter={"forms": ["1"]}))
    assert (taken.fails, left_out.fails) == (True, False)
    summary.add(taken)
    summary.add(left_out)
    summary.add(tried(live={**tried().record, "age": 35}))
    assert (summary.looked_at, summary.taken, summary.failed) == (3, 2, 1)
    assert summary.failures == {("name", "email"): 1}
    assert summary.changed == {"age": 1}
    assert summary.unmapped == {"wer": 1, "car": 1, "age": 1, "more": 2, "terms": 1}


def test_a_lead_is_shown_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_lead(tried(), MAPPING.hash)
    assert capsys.readouterr().out.splitlines() == [
        f"{LEAD_ID}  Probefahrt  nothing live",
        "  field     before           after",
        "  name      Ada Lovelace     Ada Lovelace",
        "  cars      honda, BMW, any  Honda Civic, BMW, any",
        "  age       36               36",
        '  unmapped  -                {"answers":{"more":["please"]}}',
        "",
    ]


def test_beside_it_is_what_is_live(capsys: pytest.CaptureFixture[str]) -> None:
    record = tried().record
    print_lead(tried(live={**record, "age": 35, "gone": True}), MAPPING.hash)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{LEAD_ID}  Probefahrt  live by another version, eeeeeeeeeeee  2 changed"
    assert [line.split("  ")[-1].strip() for line in shown[1:6]] == ["live", "same", "same", "35", "same"]
    assert shown[6].split() == ["gone", "-", "(not", "in", "the", "file)", "true"]
    print_lead(tried(live=record, by=MAPPING.hash), MAPPING.hash)
    assert "live by this file  nothing changed" in capsys.readouterr().out


def test_a_test_lead_is_shown_as_one_that_no_target_gets(capsys: pytest.CaptureFixture[str]) -> None:
    dummy = try_lead(Target(MAPPING), a_lead(("wer", "<test lead: dummy data for full_name>"), ("age", "many")), None)
    print_lead(dummy, MAPPING.hash)
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{LEAD_ID}  Probefahrt  test lead, which goes to no target  nothing live"
    )
    summary = Summary()
    summary.add(dummy)
    assert (dummy.fails, summary.taken, summary.failed) == (False, 0, 0)


def test_a_lead_that_fails_says_by_what(capsys: pytest.CaptureFixture[str]) -> None:
    failing = a_mapping({"name": a_field({"standard": "full_name"}, through=["email"])})
    print_lead(tried(failing, live={"name": "Ada"}), failing.hash)
    shown = capsys.readouterr().out.splitlines()
    assert "FAILS for name" in shown[0]
    assert shown[2].split() == ["name", "Ada", "Lovelace", "FAILS:", "email", "Ada"]


def test_an_answer_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    target = Target(a_mapping({"it": a_field({"field": "it"})}))
    print_lead(try_lead(target, a_lead(("it", "a\x1b[2Jb\nc\u202ed")), None), "")
    shown = capsys.readouterr().out
    assert "  it        a [2Jb c d  a [2Jb c d" in shown
    assert not set(shown) & {"\x1b", "\u202e"}


def test_the_counts_come_last_with_the_most_frequent_first(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(looked_at=3, taken=2, failed=1, no_lead=1)
    summary.failures.update({("age", "number"): 1})
    summary.changed.update({"name": 1, "age": 2})
    print_summary(summary)
    assert capsys.readouterr().out.splitlines() == [
        "3 leads looked at, 2 taken by the filter, 1 failed; 1 records hold no lead",
        "failed, by field and reason",
        "  1  age  number",
        "changed against what is live",
        "  2  age",
        "  1  name",
    ]


def test_a_program_gets_all_of_it_as_json() -> None:
    summary, lead = Summary(), tried(live={"name": "Ada", "at": datetime(2026, 11, 24, tzinfo=UTC)})
    summary.add(lead)
    told = json.loads(in_json(Target(MAPPING), [lead], summary))
    assert (told["target"], told["mapping"]) == ("sales.v1", MAPPING.hash)
    assert told["leads"][0]["fields"][1] == {
        "field": "cars",
        "before": ["honda", "BMW, any"],
        "after": ["Honda Civic", "BMW, any"],
        "failed": None,
    }
    assert told["leads"][0]["live"] == {"mapping": OTHER, "record": {"name": "Ada", "at": "2026-11-24T00:00:00+00:00"}}
    assert told["leads"][0]["unmapped"] == {"answers": {"more": ["please"]}}
    assert told["summary"]["changed"] == {"name": 1, "cars": 1, "age": 1, "unmapped": 1, "lead_id": 1, "at": 1}


def test_the_command_has_an_example_and_wants_a_file_that_is_there() -> None:
    shown = CliRunner().invoke(app, ["mapping", "preview", "--help"])
    assert "Example: leadstream mapping preview " in " ".join(shown.stdout.split())
    assert CliRunner().invoke(app, ["mapping", "preview", "none.yaml"]).exit_code == 2
