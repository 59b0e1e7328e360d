"""What the door counts and what it logs, so that neither costs more than what is told.

A counter that several processes share is a write to a file: counts of one turn of the event loop are added up first. A
flood must not flood the log: a repeated line is written once in `TELL_EVERY`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from ingest import answers, telemetry
from ingest.answers import Answer
from ingest.meta.notification import Reason
from ingest.meta.webhook import Delivery
from ingest.records import DEAD, OTHER, RAW, UPDATES

TELL_EVERY = 10_000  # milliseconds between two lines about the same thing


class Told:
    """What is counted of a delivery when it is acknowledged; its records need not be kept until then."""

    __slots__ = ("changes", "dead", "samples", "values_switched_off")

    def __init__(self, delivery: Delivery) -> None:
        topics = [record.topic for record in delivery.records]
        self.changes = {topics[0]: 1} if len(topics) == 1 else {topic: topics.count(topic) for topic in set(topics)}
        self.dead: Sequence[Reason] = delivery.dead
        self.samples = delivery.samples
        self.values_switched_off = delivery.values_switched_off


class Tally:
    """Counts deliveries and what was acknowledged of them, which is told by the next turn of the event loop."""

    def __init__(self) -> None:
        self._seconds: list[float] = []  # of each delivery
        self._changes: defaultdict[str, int] = defaultdict(int)

    def refused(self, answer: Answer) -> None:
        _DELIVERIES[answer.status].inc()

    def acknowledged(self, delivery: Told, seconds: float) -> None:
        """Once for each delivery: one that was refused comes again."""
        if not self._seconds:
            asyncio.get_running_loop().call_soon(self._tell)
        self._seconds.append(seconds)
        for topic, changes in delivery.changes.items():
            self._changes[topic] += changes
        for reason in delivery.dead:
            telemetry.DEAD_LETTERS.labels(stage="ingest", reason=reason).inc()
        if delivery.samples:
            telemetry.SAMPLES.inc(delivery.samples)
        if delivery.values_switched_off:
            telemetry.VALUES_SWITCHED_OFF.inc(delivery.values_switched_off)

    def _tell(self) -> None:
        _DELIVERIES[200].inc(len(self._seconds))
        for seconds in self._seconds:
            telemetry.ACKNOWLEDGE_SECONDS.observe(seconds)
        for topic, changes in self._changes.items():
            _CHANGES[topic].inc(changes)
        self._seconds.clear()
        self._changes.clear()


class Sparingly:
    """Logs a repeated thing once in `TELL_EVERY`, with how often it happened since the last line."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._told: dict[tuple[telemetry.Event, str], tuple[int, int]] = {}  # when, and how often since

    def __call__(self, level: telemetry.Level, event: telemetry.Event, reason: str) -> None:
        now = self._clock()
        when, untold = self._told.get((event, reason), (now - TELL_EVERY, 0))
        if abs(now - when) < TELL_EVERY:
            self._told[event, reason] = (when, untold + 1)
            return
        self._told[event, reason] = (now, 0)
        telemetry.log(level, event, reason=reason, times=untold + 1)


# Looked up once: a label costs more than a count.
_DELIVERIES = {status: telemetry.DELIVERIES.labels(status=str(status)) for status in answers.STATUSES}
_CHANGES = {topic: telemetry.CHANGES.labels(topic=topic) for topic in (RAW, UPDATES, OTHER, DEAD)}
