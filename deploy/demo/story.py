"""The demo, scene by scene: each shows something and checks it; what is not as it has to be ends the demo."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from deploy import replay
from deploy.reading import Decoder
from deploy.reconcile.words import reasons, verdict
from deploy.sandbox.graph.admin import GraphAdmin
from deploy.topics import admin_client
from ingest.reading import Reader
from ingest.records import DETAILS, LEADS, RAW
from processors.mapping.file import UNMAPPED
from schemas.shapes import Lead

from . import sales
from .account import Account, Outcome
from .deliveries import HISTORY, Answered, Delivery, ten
from .pictures import Row, in_full, leads_table, rows_table
from .programs import NAMES, Programs
from .stage import Stage
from .unannounced import at_meta, reconciling, report_table
from .unannounced import make as make_unannounced
from .world import World, apply_topics

_OUTCOMES_WITHIN = 60.0  # seconds
_LOOK_EVERY = 0.3


class DemoFailed(Exception):
    """Something is not as it has to be; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A delivery, how it was answered, and the header `delivery` of its records; None where there are none."""

    delivery: Delivery
    answered: Answered
    id: str | None


class Story:
    """One run of the demo in a world with topics. Its scenes are told in their order."""

    def __init__(self, world: World, programs: Programs, reader: Reader, stage: Stage) -> None:
        self._world = world
        self._programs = programs
        self._stage = stage
        self._graph = GraphAdmin(world.graph_url)
        self._account = Account(reader, world.topics)
        self._decode: Decoder[Lead] = Decoder(world.registry, "Lead", subject=world.topics.subject(LEADS))
        self._sent: list[Sent] = []

    def start(self) -> None:
        began = time.monotonic()
        for name in NAMES:
            self._programs.start(name)
        for name in NAMES:
            self._programs.wait_ready(name, self._stage)
        self._stage.step(f"serve, work fetch, work map and work retry are ready after {time.monotonic() - began:.1f} s")

    def deliver(self) -> None:
        """Sends the ten one after another, and looks on Kafka as soon as each is answered."""
        self._graph.reset(history=HISTORY)
        forms = {form.template: form.form_id for form in self._graph.forms()}
        url = f"http://127.0.0.1:{self._programs.port()}/webhook"
        for number, delivery in enumerate(ten(forms), start=1):
            self._stage.moment(delivery.title)
            answered = delivery.send(self._graph, url)
            new = self._account.take_door()
            if answered.status != delivery.status:
                raise DemoFailed(f"delivery {number} was answered {answered.status} instead of {delivery.status}")
            if len(new) != bool(delivery.expected):
                raise DemoFailed(f"delivery {number} was answered {answered.status}, and Kafka has {len(new)} of it")
            found = next(iter(new), None)
            records = len(self._account.delivered[found]) if found else 0
            self._stage.step(f"{number:>2}  {answered.status}  {records} on Kafka  {delivery.title:<44}", delivery.why)
            self._sent.append(Sent(delivery=delivery, answered=answered, id=found))

    def outcomes(self) -> None:
        """What each delivery became, held against what it has to become."""
        account = self._account
        self._wait(
            lambda: not account.waiting(), lambda: f"{account.waiting()} of {len(account.raw())} notifications wait"
        )
        table = Table("", "delivery", "answer", "on Kafka", "became", box=None, header_style="bold", pad_edge=False)
        for number, sent in enumerate(self._sent, start=1):
            outcomes = account.outcomes(sent.id)
            kinds: Counter[str] = Counter()
            for outcome, count in outcomes.items():
                kinds[outcome.kind] += count
            if kinds != Counter(sent.delivery.expected):
                raise DemoFailed(f"delivery {number} became {dict(kinds)} instead of {dict(sent.delivery.expected)}")
            topics = account.topics_of(sent.id)
            table.add_row(
                str(number),
                sent.delivery.title,
                sent.answered.status,
                "\n".join(f"{count} {topic}" for topic, count in topics.items()) or "nothing",
                "\n".join(_in_words(outcome, count) for outcome, count in outcomes.items()) or "refused",
            )
        self._stage.table(table)
        fates = Counter(account.outcome(record).kind for record in account.raw())
        told = " + ".join(_counted(kind, count) for kind, count in fates.most_common())
        self._stage.conclude(f"{fates.total()} records on {RAW} = {told}: each has one fate.")

    def leads(self) -> Mapping[str, Lead]:
        """Every lead that a 200 has promised, decoded, and one of them in full."""
        promised = {lead for sent in self._sent if "lead" in sent.delivery.expected for lead in sent.answered.leads}
        self._wait(
            lambda: promised <= self._account.leads.keys(),
            lambda: f"{len(promised - self._account.leads.keys())} leads that a 200 has promised are not on {LEADS}",
        )
        leads = self._leads()
        if strangers := len(leads.keys() - promised):
            raise DemoFailed(f"{strangers} leads on {LEADS} were promised to nobody")
        self._stage.table(leads_table(leads.values()))
        self._stage.conclude(
            f"{len(promised)} leads were promised by a 200, and {len(leads)} are here. One of them in full:"
        )
        agreed = [lead for lead in leads.values() if lead["disclaimers"]]
        self._stage.table(in_full(min(agreed, key=lambda lead: len(lead["answers"]))))
        return leads

    def rows(self, leads: Mapping[str, Lead]) -> Mapping[str, Row]:
        """Each of the leads as the CRM gets it, one of each form as a table, and what no field took of one."""
        self._wait(
            lambda: leads.keys() <= self._account.rows.keys(),
            lambda: f"{len(leads.keys() - self._account.rows.keys())} leads are not on {sales.TOPIC}",
        )
        rows = self._rows()
        if strangers := len(rows.keys() - leads.keys()):
            raise DemoFailed(f"{strangers} records on {sales.TOPIC} are of no lead")
        one_of_each = {leads[lead_id]["form_id"]: row for lead_id, row in rows.items()}
        self._stage.table(rows_table(one_of_each.values()))
        self._stage.conclude(f"{len(rows)} of {len(leads)} leads are on {sales.TOPIC}, here one of each form.")
        self._stage.step(f"{_near(sales.SHIPPED)} says where each field comes from, and it is the topic's schema.")
        kept = [row for row in rows.values() if row[UNMAPPED]]
        if not kept:
            raise DemoFailed(f"nothing was left unmapped: {sales.SHIPPED} takes every answer of every form")
        row = min(kept, key=lambda row: ("disclaimers" not in str(row[UNMAPPED]), len(str(row[UNMAPPED]))))
        self._stage.step(f"What no field takes stays with the lead, such as this of {row['lead_id']}:")
        self._stage.step(f"  {row[UNMAPPED]}")
        return rows

    def grow(self) -> None:
        """Changes the mapping file, and has its topic follow."""
        file = self._world.mapping
        sales.grow(file)
        self._stage.step(f"{file.name} gets the field `{sales.FIELD}`; what `leadstream topics apply` does for it:")
        told = apply_topics(self._world)
        for sentence in told:
            self._stage.step(f"  {sentence.removeprefix(self._world.kafka.topic_prefix)}")
        if len(told) != 1 or f"+ {sales.FIELD} " not in told[0]:
            raise DemoFailed(f"a field more in {file.name} is not the one difference to mend: {told}")

    def replay(self, before: Mapping[str, Lead], rows_before: Mapping[str, Row]) -> None:
        """Map again from the first record on, and hold each lead against what it was."""
        cluster, group, topic = (
            admin_client(self._world.kafka),
            self._world.topics.group("map"),
            [self._world.topics(DETAILS)],
        )
        calls = self._lead_calls()
        if replay.plan(cluster, group, topic, "earliest").refusal is None:
            raise DemoFailed("a replay is not refused while map runs")
        self._stage.step("map runs: a replay is refused, for Kafka would drop the new offsets without a word")
        self._programs.stop("map")
        planned = replay.plan(cluster, group, topic, "earliest")
        replay.apply(cluster, planned)
        self._stage.step(f"map is stopped, and its group set back to the first of {planned.records} records")
        account = self._account
        account.take_outcomes()
        produced, rows_produced = account.produced, account.rows_produced
        began = time.monotonic()
        self._programs.start("map")
        ready = self._programs.wait_ready("map", self._stage)

        def came() -> int:
            return min(account.produced - produced, account.rows_produced - rows_produced)

        self._wait(lambda: came() >= planned.records, lambda: f"{came()} of {planned.records} leads came again")
        seconds = time.monotonic() - began
        after = self._leads()
        equal = sum(after.get(lead_id) == lead for lead_id, lead in before.items())
        grown = self._grown(rows_before)
        asked = self._lead_calls() - calls
        self._stage.step(
            f"map started again: {planned.records} leads came again in {seconds:.1f} s ({ready:.1f} s to start)"
        )
        self._stage.step(
            f"{grown} of {len(rows_before)} records for the CRM have `{sales.FIELD}` now, and else are equal."
        )
        self._stage.step(f"{equal} of {len(before)} leads are identical, and Meta was asked for a lead {asked} times.")
        if not equal == len(before) == len(after) or asked:
            raise DemoFailed("the replay did not bring the same leads again without asking Meta")
        if not grown == len(rows_before) == len(account.rows):
            raise DemoFailed(
                f"the replay did not give each record on {sales.TOPIC} its `{sales.FIELD}` and nothing else"
            )

    def reconcile(self) -> None:
        """Has those found and fetched of whom no webhook told, and counts them by lead on both topics."""
        account = self._account
        earlier = at_meta(self._graph) - account.leads.keys()
        made = make_unannounced(self._graph)
        missing = earlier | made
        produced, rows_produced = account.produced, account.rows_produced
        self._stage.step(
            f"no webhook tells of {len(missing)} leads: {len(earlier)} were given before the first one came,"
            f" and {len(made)} while none got through"
        )
        with reconciling(self._world, self._stage) as run:
            found = run(False)
            self._stage.step(f"leadstream reconcile: {verdict(found, sending=False)}")
            if found.total.number("missing") != len(missing):
                raise DemoFailed(f"a reconciliation misses {found.total.number('missing')} leads, not {len(missing)}")
            began = time.monotonic()
            found = run(True)
        self._stage.step(f"leadstream reconcile --yes ({time.monotonic() - began:.1f} s):")
        self._stage.table(report_table(found))
        self._stage.conclude(verdict(found, sending=True))
        for reason in reasons(found):
            self._stage.step(reason)

        def grown() -> tuple[int, int]:
            return account.produced - produced, account.rows_produced - rows_produced

        self._wait(lambda: min(grown()) >= len(missing), lambda: f"{min(grown())} of {len(missing)} missing leads came")
        if not found.is_complete or found.total.recovered != len(missing):
            raise DemoFailed(f"{found.total.recovered} of {len(missing)} missing leads were recovered")
        if set(grown()) != {len(missing)} or not missing <= account.leads.keys() & account.rows.keys():
            raise DemoFailed(f"{LEADS} and {sales.TOPIC} have {grown()} leads more, not {len(missing)}")
        self._stage.step(f"{len(missing)} leads more are on {LEADS} and on {sales.TOPIC}: each of them, once.")

    def _lead_calls(self) -> int:
        """How often a lead was asked for; `work retry` looks at access and forms all the while."""
        return sum(self._graph.lead_calls().values())

    def _grown(self, before: Mapping[str, Row]) -> int:
        """How many records have the new field, and are as they were but for it."""
        after = self._rows()
        return sum(
            after[lead_id].get(sales.FIELD) is not None
            and after[lead_id] == {**row, sales.FIELD: after[lead_id][sales.FIELD]}
            for lead_id, row in before.items()
            if lead_id in after
        )

    def _rows(self) -> Mapping[str, Row]:
        """The newest record of each lead, read with the schema that its topic has now."""
        world = self._world
        decode: Decoder[dict[str, object]] = Decoder(world.registry, None, subject=world.topics.subject(sales.TOPIC))
        return {lead_id: decode(found.value or b"") for lead_id, found in sorted(self._account.rows.items())}

    def _leads(self) -> Mapping[str, Lead]:
        return {lead_id: self._decode(found.value or b"") for lead_id, found in sorted(self._account.leads.items())}

    def _wait(self, until: Callable[[], bool], what: Callable[[], str]) -> None:
        began = time.monotonic()
        while True:
            self._account.take_outcomes()
            if until():
                return
            waited = time.monotonic() - began
            if waited > _OUTCOMES_WITHIN:
                raise DemoFailed(f"after {waited:.0f} s {what()}")
            self._stage.moment(f"{what()} ({waited:.0f} s)")
            time.sleep(_LOOK_EVERY)


def _in_words(outcome: Outcome, count: int) -> str:
    kind = {"kept": "kept as it came", "dead": "dead letter"}.get(outcome.kind, outcome.kind)
    return _counted(kind, count) + (f" ({outcome.reason})" if outcome.reason else "")


def _counted(what: str, count: int) -> str:
    return f"{count} {what}" + ("s" if what == "lead" and count != 1 else "")


def _near(path: Path) -> str:
    """As short as it can be said from where we are."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
