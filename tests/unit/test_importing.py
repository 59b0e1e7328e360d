"""Each row of a file is taken once, or known, repeated or refused; and what is taken is a lead like any other."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ingest.codec import Codec
from ingest.export import Refused, Row, read_export
from ingest.importing import Importing, Refusal, Tally
from ingest.kafka import NotAcknowledged, Unacceptable
from ingest.mending import Writing
from ingest.meta.graph import JsonObject, Snapshot
from ingest.records import DETAILS, Received, Record, header, headers
from ingest.whereabouts import Whereabouts
from processors.lead import map_lead
from schemas.shapes import Completeness, LeadDetails
from tests.cluster import NOW, Cluster

LEAD, OTHER = "55459717045641545", "55459717045641546"
FORM, PAGE = "2381764112176533", "106777055130587"
CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)
QUESTIONS: list[dict[str, object]] = [
    {"key": "full_name", "label": "Full name", "type": "FULL_NAME"},
    {"key": "email", "label": "Email", "type": "EMAIL"},
    {"key": "roof", "label": "How big is it?", "type": "CUSTOM", "options": [{"key": "big", "value": "Over 100 m²"}]},
]


class Index:
    """What the account's index tells, of a cluster in memory and of leads that were only announced."""

    def __init__(self, cluster: Cluster, announced: Collection[str] = ()) -> None:
        self.refreshed = 0
        self._cluster = cluster
        self._announced = announced
        self._known: dict[str, Whereabouts] = {}
        self.refresh()

    def refresh(self) -> None:
        self.refreshed += 1
        self._known = {lead: Whereabouts(fate="parked") for lead in self._announced}
        for received in self._cluster.on(DETAILS):
            said = header(received.headers, "completeness")
            words: dict[str | None, Completeness] = {"FULL": "FULL", "REDUCED": "REDUCED", "EXPORT": "EXPORT"}
            lead = (received.key or b"").decode()
            self._known[lead] = Whereabouts(details=words.get(said), erased=received.value is None)

    def of(self, lead_ids: Collection[str]) -> Mapping[str, Whereabouts]:
        return {lead: self._known[lead] for lead in lead_ids if lead in self._known}


class Forms:
    """The versions of one form: the later ones hold for leads from a second on, and any that asks what was answered."""

    def __init__(self, *versions: tuple[int, list[dict[str, object]]], page: str | None = PAGE) -> None:
        self._page = page
        self._versions = [
            (since, {question["key"] for question in questions}, Snapshot(text=_form(questions), version=str(since)))
            for since, questions in versions
        ]

    def page_of(self, form_id: str) -> str | None:
        return self._page if form_id == FORM else None

    async def read(self, form_id: str, page_id: str, lead: JsonObject) -> Snapshot | None:
        assert (form_id, page_id) == (FORM, PAGE)
        made = datetime.fromisoformat(str(lead["created_time"])).timestamp()
        given = lead.get("field_data")
        keys = {str(each.get("name")) for each in given if isinstance(each, dict)} if isinstance(given, list) else set()
        at_that_time = [version for since, _, version in self._versions if since <= made]
        explaining = [version for _, asked, version in self._versions if keys and keys <= asked]
        return next(iter([*explaining[-1:], *at_that_time[-1:]]), None)


def _form(questions: list[dict[str, object]]) -> str:
    return json.dumps({"id": FORM, "name": "Roofs", "locale": "en_US", "questions": questions})


class World:
    """A cluster, what is known of it, and an import into it."""

    def __init__(self, *, forms: Forms | None = None, announced: Collection[str] = (), writes: bool = True) -> None:
        self.cluster = Cluster()
        self.refused: list[Refusal] = []
        self.forms = forms or Forms((0, QUESTIONS))
        self.announced = announced
        self.writes = writes
        self.index = Index(self.cluster)

    def take(self, *batches: Sequence[Row | Refused], page: str | None = None, form: str | None = None) -> Tally:
        """What became of all the rows, of whichever form."""
        self.index = Index(self.cluster, self.announced)
        importing = self.importing(self.index, page=page)

        async def scenario() -> None:
            for batch in batches:
                await importing.take("leads.csv", batch, form=form)

        try:
            asyncio.run(scenario())
        finally:
            importing.close()
        self.tallies = importing.tallies
        total = Tally()
        for each in importing.tallies.values():
            for name in ("taken", "known", "erased", "repeated", "refused"):
                setattr(total, name, getattr(total, name) + getattr(each, name))
        assert total.rows == sum(map(len, batches))
        return total

    def importing(self, index: Index, *, page: str | None = None) -> Importing:
        return Importing(
            index=index,
            forms=self.forms,
            codec=CODEC,
            writing=Writing(self.cluster, self.cluster, self.cluster.topics) if self.writes else None,
            told=self.refused.append,
            clock=lambda: NOW,
            page=page,
        )

    def put(self, completeness: Completeness | None, lead: str = LEAD) -> None:
        said = headers({"completeness": completeness}) if completeness else ()
        value = b"theirs" if completeness else None
        self.cluster.put(Record(topic=DETAILS, key=lead.encode(), value=value, headers=said))

    def details(self) -> list[LeadDetails]:
        return [CODEC.decode(received.value or b"") for received in self.cluster.on(DETAILS)]


def row(lead: str = LEAD, *, line: int = 2, form: str | None = FORM, answers: tuple[tuple[str, str], ...] = ()) -> Row:
    return Row(
        line=line,
        last_line=line,
        lead_id=lead,
        created_time=1_795_000_000,
        form_id=form,
        platform="fb",
        is_organic=False,
        campaign_name="Spring",
        questions=answers or (("full_name", "Rosa Díaz"),),
    )


def test_a_row_becomes_details_as_complete_as_an_export_is() -> None:
    world = World()
    assert world.take([row(answers=(("Full name", "Rosa Díaz"), ("How big is it?", "Over 100 m²")))]) == Tally(taken=1)
    [received] = world.cluster.on(DETAILS)
    [details] = world.details()
    assert received.key == LEAD.encode()
    told = {name: value.decode() for name, value in received.headers}
    assert told == {"source": "import", "received-at": str(NOW), "completeness": "EXPORT"}
    assert (details["page_id"], details["form_id"], details["form_version"]) == (PAGE, FORM, "0")
    assert (details["source"], details["completeness"]) == ("import", "EXPORT")
    assert (details["received_at"], details["change"], details["api_version"]) == (None, None, None)
    assert set(details["missing_fields"]) == {
        "partner_name",
        "retailer_item_id",
        "custom_disclaimer_responses",
        "home_listing",
        "vehicle",
        "post_submission_check_result",
    }
    lead = map_lead(details)
    assert lead["created_at"] == datetime.fromtimestamp(1_795_000_000, tz=UTC)
    assert (lead["platform"], lead["is_organic"], lead["campaign_name"]) == ("fb", False, "Spring")
    assert (lead["full_name"], lead["is_test"]) == ("Rosa Díaz", False)
    roof = lead["answers"][1]
    assert (roof["key"], roof["question"], roof["values"], roof["option_texts"]) == (
        "roof",
        "How big is it?",
        ["big"],
        ["Over 100 m²"],
    )


@pytest.mark.parametrize("completeness", ["EXPORT", "REDUCED", "FULL"])
def test_what_is_known_as_well_or_better_is_not_written(completeness: Completeness) -> None:
    world = World()
    world.put(completeness)
    assert world.take([row(), row(OTHER)]) == Tally(taken=1, known=1)
    assert [received.key for received in world.cluster.on(DETAILS)].count(LEAD.encode()) == 1


def test_an_erased_lead_is_known_and_stays_erased() -> None:
    world = World()
    world.put("FULL")
    world.put(None)
    assert world.take([row()]) == Tally(known=1, erased=1)
    assert world.cluster.on(DETAILS)[-1].value is None


def test_a_lead_that_was_announced_and_never_fetched_is_taken() -> None:
    assert World(announced=[LEAD]).take([row()]) == Tally(taken=1)


def test_a_row_that_comes_again_is_repeated_in_this_batch_and_in_any_later_one() -> None:
    world = World()
    assert world.take([row(), row(line=3)], [row(OTHER, line=4), row(line=5)]) == Tally(taken=2, repeated=2)
    assert len(world.cluster.on(DETAILS)) == 2


def test_the_same_file_again_brings_nothing() -> None:
    world = World()
    rows = [row(), row(OTHER)]
    assert world.take(rows) == Tally(taken=2)
    assert world.take(rows) == Tally(known=2)


def test_a_run_that_ended_early_is_run_again() -> None:
    """The broker refused the second batch: of the whole file the next run takes the rest."""
    world = World()
    first = [row(str(1000 + number)) for number in range(5)]
    second = [row(str(2000 + number)) for number in range(5)]
    world.take(first)
    world.cluster.refuses = DETAILS
    with pytest.raises(NotAcknowledged):
        world.take(first, second)
    world.cluster.refuses = None
    assert world.take(first, second) == Tally(taken=5, known=5)
    assert len(world.cluster.on(DETAILS)) == 10


def test_a_plan_says_the_same_and_does_nothing() -> None:
    world = World(writes=False)
    world.put("FULL", OTHER)
    refused = Refused(line=9, last_line=9, reason="no-id")
    rows: list[Row | Refused] = [row(), row(OTHER), row(), row(form=None), refused]
    assert world.take(rows) == Tally(taken=1, known=1, repeated=1, refused=2)
    assert len(world.cluster.on(DETAILS)) == 1
    assert world.index.refreshed == 1


def test_what_nobody_knows_the_page_of_is_refused_with_what_to_do() -> None:
    world = World(forms=Forms(page=None))
    unknown = Refused(line=7, last_line=9, reason="broken-quoting")
    assert world.take([row(), row(OTHER, line=3, form=None), unknown]) == Tally(refused=3)
    assert [(each.line, each.last_line, each.reason) for each in world.refused] == [
        (2, 2, "no-page"),
        (3, 3, "no-form"),
        (7, 9, "broken-quoting"),
    ]
    assert "--page" in world.refused[0].sentence
    assert "--form" in world.refused[1].sentence
    assert "quote" in world.refused[2].sentence
    assert {form: tally.refused for form, tally in world.tallies.items()} == {FORM: 1, None: 2}


def test_a_page_and_a_form_that_are_given_hold_for_rows_that_tell_none() -> None:
    world = World(forms=Forms(page=None))
    assert world.take([row(form=None)], page=PAGE) == Tally(taken=1)
    [details] = world.details()
    assert (details["page_id"], details["form_id"], details["form"]) == (PAGE, None, None)
    assert map_lead(details)["full_name"] == "Rosa Díaz"

    world = World()
    assert world.take([row(form=None)], page="1", form=FORM) == Tally(taken=1)
    [details] = world.details()
    assert (details["page_id"], details["form_id"], details["form_version"]) == (PAGE, FORM, "0")


def test_the_form_is_that_which_asked_what_was_answered() -> None:
    """The form was changed before the lead was made, as far as we saw; but the file has a question of the old one."""
    new = [question for question in QUESTIONS if question["key"] != "roof"]
    world = World(forms=Forms((0, QUESTIONS), (1_790_000_000, new)))
    answers = (("full_name", "Rosa Díaz"), ("roof", "Over 100 m²"))
    world.take([row(answers=answers), row(OTHER)])
    each = {details["lead_id"]: details for details in world.details()}
    old, current = each[LEAD], each[OTHER]
    assert (old["form_version"], current["form_version"]) == ("0", "1790000000")
    assert map_lead(old)["answers"][1]["values"] == ["big"]


def test_a_form_that_nobody_knows_costs_labels_and_no_lead() -> None:
    world = World(forms=Forms())
    world.take([row(answers=(("email", "rosa@example.org"), ("¿Cuándo?", "mañana")))])
    lead = map_lead(world.details()[0])
    assert (lead["email"], lead["form_version"]) == ("rosa@example.org", None)
    assert [(answer["key"], answer["question"], answer["values"]) for answer in lead["answers"]] == [
        ("email", None, ["rosa@example.org"]),
        ("¿Cuándo?", None, ["mañana"]),
    ]


def test_a_test_lead_is_known_for_one() -> None:
    dummy = (("full_name", "<test lead: dummy data for full_name>"), ("email", "test@meta.com"))
    world = World()
    world.take([row(answers=dummy)])
    assert map_lead(world.details()[0])["is_test"] is True


def test_what_others_write_while_a_file_is_read_is_known_for_its_later_rows() -> None:
    world = World()
    importing = world.importing(Index(world.cluster))

    async def scenario() -> None:
        await importing.take("leads.csv", [row()])
        world.put("FULL", OTHER)
        await importing.take("leads.csv", [row(OTHER)])

    asyncio.run(scenario())
    importing.close()
    assert importing.tallies == {FORM: Tally(taken=1, known=1)}


def test_a_lead_that_somebody_writes_meanwhile_is_theirs() -> None:
    """After the index was asked and before ours is sent: a whole one, and a tombstone."""
    world = World()

    class Late(Index):
        def of(self, lead_ids: Collection[str]) -> Mapping[str, Whereabouts]:
            found = super().of(lead_ids)
            world.put("FULL")
            world.put(None, OTHER)
            return found

    importing = world.importing(Late(world.cluster))
    asyncio.run(importing.take("leads.csv", [row(), row(OTHER), row("1")]))
    importing.close()
    assert importing.tallies == {FORM: Tally(taken=1, known=2, erased=1)}
    newest: dict[bytes | None, Received] = {received.key: received for received in world.cluster.on(DETAILS)}
    assert newest[LEAD.encode()].value == b"theirs"
    assert newest[OTHER.encode()].value is None


def test_large_forms_go_in_batches_that_the_producer_has_room_for() -> None:
    sizes: list[int] = []
    world = World(forms=Forms((0, [*QUESTIONS, {"key": "terms", "label": "x" * 2**20, "type": "CUSTOM"}])))

    class Small(Cluster):
        async def deliver(self, records: Sequence[Record]) -> None:
            sizes.append(sum(len(record.value or b"") for record in records))
            await super().deliver(records)

    world.cluster = Small()
    assert world.take([row(str(1000 + number)) for number in range(40)]) == Tally(taken=40)
    assert len(sizes) == 3
    assert max(sizes) <= 16 * 2**20


def test_a_row_that_no_record_can_hold_is_refused() -> None:
    world = World()
    half_a_pair = replace(row(line=8), questions=(("full_name", "\ud83d"),))
    assert world.take([half_a_pair, row(OTHER)]) == Tally(taken=1, refused=1)
    assert [(each.line, each.reason) for each in world.refused] == [(8, "does-not-fit")]


def test_a_row_that_the_broker_takes_in_no_case_costs_no_other_of_its_batch() -> None:
    """Else the same file would end there whenever it is run again."""

    class Small(Cluster):
        async def deliver(self, records: Sequence[Record]) -> None:
            await super().deliver([record for record in records if record.key != OTHER.encode()])
            if any(record.key == OTHER.encode() for record in records):
                raise Unacceptable("MSG_SIZE_TOO_LARGE")

    world = World()
    world.cluster = Small()
    assert world.take([row(), row(OTHER, line=8), row("1")]) == Tally(taken=2, refused=1)
    assert [(each.line, each.reason) for each in world.refused] == [(8, "unacceptable")]
    assert "message.max.bytes" in world.refused[0].sentence
    assert sorted(details["lead_id"] for details in world.details()) == ["1", LEAD], "and each once"


def test_nothing_of_a_refused_row_is_told() -> None:
    """From bytes on: what is said of it has a line and a reason."""
    file = "id,created_time,form_id,full_name\n" + f"5.54597E+16,2026-11-20T10:00:00+0000,{FORM},Rosa Díaz\n"
    file += f"l:{LEAD},2026-11-20T10:00:00+0000,f:{FORM},Rosa Díaz\nl:{OTHER},yesterday,f:{FORM},Rosa Díaz\n"
    world = World()
    assert world.take(list(read_export([file.encode()]))) == Tally(taken=1, refused=2)
    assert {each.line for each in world.refused} == {2, 4}
    assert "Rosa" not in repr(world.refused) + "".join(each.sentence for each in world.refused)
