"""Whatever order things happen in, and whoever dies in between: nothing that will still come is ever taken for lost."""

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.account import Account
from deploy.account.positions import READS
from ingest.records import (
    AGAIN,
    CRM,
    DEAD,
    DETAILS,
    FATES,
    LEADS,
    PARKED,
    RAW,
    RETRY,
    Failure,
    Fate,
    Headers,
    Received,
    Record,
    dead_letter,
    fate_record,
    headers,
    sent_again,
    set_aside,
)
from tests.past import OTHER_PAGE, PAGE, Past

Place = tuple[str, int]  # topic and partition
PLACES: list[Place] = [(topic, number) for topics in READS.values() for topic in topics for number in (0, 1)]
STEPS = 100
TARGETS = ("sales.v1", "billing.v1")
CHANCES = st.integers(0, 2**32).map(random.Random)


class Life:
    """Workers that keep the promise: what comes of a record is there before its offset is committed."""

    def __init__(self, chance: random.Random, folder: Path, *, leads: int) -> None:
        """`leads` is how many different ones there may be."""
        self.past = Past(folder)
        self.past.targets = TARGETS
        self.became: dict[str, Fate] = {}  # by origin, the last
        self._chance = chance
        self._leads = leads
        self._calm = False
        self._at: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}
        self._parked: dict[str, Received] = {}  # what `work retry` would release, by origin
        self._dead: dict[str, Received] = {}  # what a person would redrive

    def run(self) -> None:
        for _ in range(STEPS):
            self._step()
            if self._happens(0.05):
                assert self.look().lost.examples == ()

    def look(self) -> Account:
        """First where map writes to, then the offsets; some more happens in between and before the topics are read."""
        mapped = self.past.ends(*self.past.mapped)
        self._go_on()
        committed = self._offsets()
        self._go_on()
        account = self.past.account_by(committed, mapped=mapped)
        assert sum(account.total.values()) == len(self.past.cluster.on(RAW))
        return account

    def meant_only(self, lead: bytes) -> list[str]:
        """The topics of the targets that the lead is meant for, and of which there is no dead letter."""
        said = [each.header("targets") or "" for each in self.past.cluster.on(LEADS) if each.key == lead]
        died = {each.header("target") for each in self.past.cluster.on(DEAD) if each.key == lead}
        return [f"{CRM}{target}" for target in TARGETS if target in said[-1].split(",") and target not in died]

    def come_to_rest(self) -> Account:
        """Nobody dies any more and Meta answers, until everything is read and nothing is parked."""
        self._calm = True
        while self._parked or (behind := self._behind()):
            if self._parked:
                self._send_one(self._parked, "released")
            else:
                self._work(behind[0])
        self._committed = dict(self._at)
        return self.past.account_by(self._offsets())

    def _go_on(self) -> None:
        for _ in range(self._chance.randrange(4)):
            self._step()

    def _step(self) -> None:
        match self._chance.randrange(9):
            case 0 | 1:
                lead = str(55459717045641544 + self._chance.randrange(self._leads))
                self.past.raw(self._chance.choice([PAGE, OTHER_PAGE]), lead)
            case 2:
                self._send_one(self._parked, "released")
            case 3:
                self._send_one(self._dead, "redriven")
            case 4 if self._happens(0.1):
                self._replay_map()
            case _:
                if behind := self._behind():
                    self._work(self._chance.choice(behind))

    def _work(self, place: Place) -> None:
        """The next record of the partition; the worker may die at any moment, and commits now and then."""
        topic, number = place
        since = self.past.ends(topic)[topic] | {number: self._at.get(place, 0)}
        record = next(self.past.cluster.read(self.past.cluster.topics(topic), since))
        for write in self._outcome(topic, record):
            if self._happens(0.04):
                self._die(topic)
                return
            write()
        self._at[place] = record.offset + 1
        if self._happens(0.6):
            self._committed[place] = self._at[place]

    def _outcome(self, topic: str, of: Received) -> Iterator[Callable[[], object]]:
        if topic in RETRY:
            yield partial(self._put, sent_again(of))
        elif topic == DETAILS:
            records = self._mapped(of)
            self._chance.shuffle(records)  # delivered together
            for record in records:
                yield partial(self._put, record)
        else:
            fate = self._fate(topic, self.past.lead_of(of).encode())
            records = self._records(topic, of, fate)
            self._chance.shuffle(records)  # delivered together
            for record in records:
                yield partial(self._put, record)
            self.became[of.origin] = fate

    def _mapped(self, of: Received) -> list[Record]:
        """For any of the targets, of which some may fail; each time other ones, as mapping files change."""
        became = {target: self._chance.choice(["mapped", "mapped", "skipped", "dead"]) for target in TARGETS}
        said = headers({"targets": ",".join(target for target in TARGETS if became[target] != "skipped")})
        records = [self._made(of, LEADS, said)]
        for target, what in became.items():
            if what == "mapped":
                records.append(self._made(of, f"{CRM}{target}"))
            elif what == "dead":
                failure = Failure(stage="map", reason="required", error="Failed", target=target)
                told = fate_record(
                    of, "dead", stage="map", reason="required", page_id=None, lead_id=None, target=target
                )
                records += [dead_letter(of, failure, now=0), told]
        return records

    def _made(self, of: Received, topic: str, said: Headers = ()) -> Record:
        return Record(topic=topic, key=of.key, value=of.value, headers=of.headers + said, timestamp=of.timestamp)

    def _replay_map(self) -> None:
        """The group is moved back while its worker stands still."""
        self._die(DETAILS)
        for place in PLACES:
            if place[0] == DETAILS:
                self._at[place] = self._committed[place] = self._chance.randrange(self._committed.get(place, 0) + 1)

    def _fate(self, topic: str, lead: bytes) -> Fate:
        """Only what comes from raw is suppressed, and only when the lead's details are there."""
        if topic == RAW and self._happens(0.5) and any(each.key == lead for each in self.past.cluster.on(DETAILS)):
            return "duplicate"
        fates: list[Fate] = ["fetched", "fetched", "waiting", "parked", "dead"]
        return "fetched" if self._calm else self._chance.choice(fates)

    def _records(self, topic: str, of: Received, fate: Fate) -> list[Record]:
        told = self._told(of, fate)
        match fate:
            case "fetched":
                key, said = self.past.lead_of(of).encode(), headers({"origin": of.origin})
                details = Record(topic=DETAILS, key=key, value=b"avro", headers=said)
                return [details] if topic == RAW else [details, told]
            case "waiting":
                return [set_aside(of, self._chance.choice(RETRY), reason="-", attempt=1, now=0), told]
            case "parked":
                return [set_aside(of, PARKED, reason="-", attempt=1, now=0), told]
            case "dead":
                return [dead_letter(of, Failure(stage="fetch", reason="-", error="-"), now=0), told]
            case _:
                return [told]

    def _told(self, of: Received, fate: Fate) -> Record:
        return fate_record(of, fate, stage="fetch", reason="-", page_id=None, lead_id=self.past.lead_of(of))

    def _put(self, record: Record) -> None:
        put = self.past.cluster.put(record)
        if record.topic == PARKED:
            self._parked[put.origin] = put
        elif record.topic == DEAD and put.header("stage") == "fetch":
            self._dead[put.origin] = put

    def _send_one(self, waiting: dict[str, Received], fate: Fate) -> None:
        """Sends one back; who dies before its fate is told sends it again."""
        if not waiting:
            return
        origin = self._chance.choice(sorted(waiting))
        record = waiting[origin]
        self._put(sent_again(record))
        if self._happens(0.1):
            return
        while self._happens(0.5) and (behind := [place for place in self._behind() if place[0] == AGAIN]):
            self._work(behind[0])
        self._put(self._told(record, fate))
        if waiting.get(origin) is record:
            del waiting[origin]

    def _die(self, topic: str) -> None:
        """Whoever takes over begins where the group has committed."""
        for topics in READS.values():
            if topic in topics:
                self._at |= {place: self._committed.get(place, 0) for place in PLACES if place[0] in topics}

    def _behind(self) -> list[Place]:
        ends = self.past.ends(*(topic for topic, _ in PLACES))
        return [place for place in PLACES if self._at.get(place, 0) < ends[place[0]][place[1]]]

    def _offsets(self) -> dict[str, dict[int, int]]:
        """A group that has not committed yet has none."""
        offsets: dict[str, dict[int, int]] = {topic: {} for topic, _ in PLACES}
        for (topic, number), offset in self._committed.items():
            offsets[topic][number] = offset
        return offsets

    def _happens(self, chance: float) -> bool:
        return not self._calm and self._chance.random() < chance


@given(CHANCES)
def test_each_record_is_counted_as_what_it_became_and_never_as_lost(chance: random.Random) -> None:
    """Fetch, map, retry, the releaser and redrives in any order; deaths between any two writes; commits that lag."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(chance, Path(folder), leads=10**6)
        life.run()
        account = life.come_to_rest()
        assert account.lost.examples == ()
        assert {kind: number for kind, number in account.total.items() if number} == Counter(life.became.values())
        assert account.targets[LEADS].keys() <= {"mapped"}
        leads = len({each.key for each in life.past.cluster.on(DETAILS)})
        for counts in account.targets.values():
            assert sum(counts.values()) == leads
            assert counts.keys() <= {"mapped", "skipped", "dead"}


@given(CHANCES)
def test_books_that_are_made_anew_after_compaction_miss_nothing(chance: random.Random) -> None:
    """Of a lead that came several times only the last details are left, so another of its records may have an older
    fate again: no more than that."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(chance, Path(folder), leads=30)
        life.run()
        kept = life.come_to_rest()
        for topic in (FATES, DETAILS, LEADS):
            life.past.compact(topic)
        (Path(folder) / "books.sqlite").unlink()
        anew = life.come_to_rest()
        assert anew.lost.examples == ()
        assert (sum(anew.total.values()), anew.targets) == (sum(kept.total.values()), kept.targets)


@given(CHANCES, st.data())
def test_whatever_is_taken_away_is_missed(chance: random.Random, data: st.DataObject) -> None:
    """All details of one lead, or all that map made of it; of one that nothing else could speak for."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(chance, Path(folder), leads=30)
        life.run()
        life.come_to_rest()
        waiting = [each for topic in (PARKED, DEAD) for each in life.past.cluster.on(topic)]
        others = {life.past.lead_of(each).encode() for each in waiting if each.header("stage") != "map"}
        leads = sorted({each.key for each in life.past.cluster.on(DETAILS) if each.key} - others)
        if not leads:
            return
        lead = data.draw(st.sampled_from(leads))
        topic = data.draw(st.sampled_from([DETAILS, LEADS, *life.meant_only(lead)]))
        life.past.take_away(topic, lead)
        (Path(folder) / "books.sqlite").unlink()
        account = life.come_to_rest()
        assert not account.holds
        assert {each.lead_id for each in account.lost.examples} == {lead.decode()}
