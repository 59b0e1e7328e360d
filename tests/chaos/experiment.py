"""Leads are announced while something goes wrong, and at the end every acknowledged one is counted."""

import json
import random
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Unpack

from deploy.sandbox.graph.shapes import How
from ingest.records import DETAILS, FATES, LEADS, RAW, Fate
from schemas import shapes
from tests.chaos.results import Result
from tests.programs import System, eventually

# The ladder and the look at access, each shortened to what a test can wait for.
SHORTENED = {"RETRY_DELAYS": "1,2,4", "ACCESS_CHECK": "1"}
ARRIVES_WITHIN = 240.0  # seconds; a program that was struck often is started again after half a minute


class Experiment:
    """One experiment on a system of its own. What `random` draws follows from the run's seed and the name."""

    def __init__(self, name: str, system: System, *, seed: int, results: list[Result]) -> None:
        self.name = name
        self.system = system
        self.random = random.Random(f"{seed} {name}")  # noqa: S311  blows that can be drawn again
        self._results = results
        self._jobs: list[int] = []
        self._over = time.monotonic()

    def deliver(self, leads: int, **how: Unpack[How]) -> int:
        """Announces leads in the background, each POST again until it is answered 200; the job's number."""
        job = self.system.graph.deliver(self.system.webhook, leads, **({"time_scale": 0.02} | how)).job
        self._jobs.append(job)
        return job

    def wait_until_acknowledged(self, seconds: float = 180.0) -> set[str]:
        """Every lead that was ever answered 200, when no delivery is under way any more."""
        for job in self._jobs:
            delivery = self.system.graph.wait(job, timeout=seconds)
            assert delivery.posts_given_up == 0
        return set(self.system.graph.acknowledged())

    def trouble_is_over(self) -> None:
        """From now on it recovers."""
        self._over = time.monotonic()

    def note(self, result: Result) -> None:
        """A row of the table, also of an experiment that fails."""
        self._results.append(result)

    def count(self, *, remark: str = "", elsewhere: Collection[Fate] = (), within: float = ARRIVES_WITHIN) -> Result:
        """Waits for every acknowledged lead, and fails when one is lost: on leads.v1, or with a fate of `elsewhere`.

        And for every raw record to have its fate: its details, or a word that says why not.
        """
        acknowledged = self.wait_until_acknowledged()
        end = time.monotonic() + within
        while (lost := acknowledged - self._arrived(elsewhere)) and time.monotonic() < end:
            time.sleep(0.2)
        recovered = max(0.0, time.monotonic() - self._over)
        with suppress(AssertionError):  # asserted below, when the row is written
            eventually(lambda: not self._without_fate(), 30, "every raw record has its fate")
        details = [record for record in self.system.records(DETAILS) if record.value is not None]
        result = Result(
            experiment=self.name,
            records=len(self.system.records(RAW)),
            acknowledged=len(acknowledged),
            lost=len(lost),
            duplicated=len(details) - len({record.key for record in details}),
            recovered=recovered,
            remark=remark,
        )
        self.note(result)
        assert not lost, f"{len(lost)} acknowledged leads are lost, as {sorted(lost)[:5]}"
        assert not self._without_fate(), "raw records without a fate"
        return result

    def fates(self) -> dict[str, shapes.Fate]:
        """What was last said of each origin that a record of `meta.leadgen.fates` names, by stage and origin."""
        told: dict[str, shapes.Fate] = {}
        for record in self.system.records(FATES):
            if record.key is not None and record.value is not None:
                told[record.key.decode()] = json.loads(record.value)
        return told

    def _arrived(self, elsewhere: Collection[Fate]) -> set[str]:
        told = {str(fate["lead_id"]) for fate in self.fates().values() if fate["fate"] in elsewhere}
        return self.system.keys(LEADS) | told

    def _without_fate(self) -> set[str]:
        """Origins of raw records that no details and no fate tell of."""
        told = {fate["origin"] for fate in self.fates().values() if fate["stage"] == "fetch"}
        brought = {record.origin for record in self.system.records(DETAILS)}
        return {record.origin for record in self.system.records(RAW)} - told - brought
