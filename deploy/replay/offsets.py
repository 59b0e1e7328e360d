"""Moves a group to where its worker is to read on: the plan first, with every partition's from and to, then the move.

Kafka takes the offsets of a live group without an error of the call and drops them; here such a move is refused, and
each partition's own answer is looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

# Public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from deploy.account.positions import PROGRAMS

Target = Literal["earliest"] | datetime | int
"""The first record there is; the first one of that time or later; that offset in each partition."""

_PATIENCE = 15.0  # seconds for a broker to answer


class ReplayRefused(Exception):
    """The group cannot be moved; the text says why and what to do. Nothing was moved, unless it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One partition of a topic, its name with its prefix. `before` is None where the group never stood."""

    topic: str
    partition: int
    before: int | None
    after: int
    end: int

    @property
    def records(self) -> int:
        """How many records, as they are now, are read from there: at most, where a topic is compacted."""
        return self.end - self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a group stands and where it is to stand. `members` are the hosts of those that read for it now."""

    group: str
    moves: tuple[Move, ...]
    members: tuple[str, ...]

    @property
    def records(self) -> int:
        return sum(move.records for move in self.moves)

    @property
    def places(self) -> Sequence[tuple[str, int]]:
        """Topic and partition of each move."""
        return [(move.topic, move.partition) for move in self.moves]

    @property
    def program(self) -> str:
        """The command whose workers read for the group."""
        return f"leadstream {PROGRAMS[self.group.rpartition('-')[2]]}"

    @property
    def refusal(self) -> str | None:
        """Why it cannot be done now, and what to do about it."""
        if not self.members:
            return None
        hosts = ", ".join(sorted(set(self.members)))
        return (
            f"the group {self.group} is live: {len(self.members)} of its workers run, on {hosts}. Stop every"
            f" `{self.program}`, then try again; one that was killed counts for 10 seconds more"
        )


def plan(cluster: AdminClient, group: str, topics: Iterable[str], to: Target, *, staying: Iterable[str] = ()) -> Plan:
    """How each partition of the topics would move. ReplayRefused when the cluster or a topic cannot be asked.

    Those that are `staying` move only where they have to: to the first record, if the one they stand at expired.
    """
    try:
        moving, standing = _partitions(cluster, topics), _partitions(cluster, staying)
        places = [*moving, *standing]
        first = _offsets(cluster, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # it has no type here
        end = _offsets(cluster, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # as above
        before = _committed(cluster, group, places)
        match to:
            case "earliest":
                after = dict(first)
            case datetime():
                after = dict(_since(cluster, moving, to))
            case int():
                after = {place: min(max(to, first[place]), end[place]) for place in moving}
        expired = [place for place in standing if before.get(place, first[place]) < first[place]]
        after |= {place: first[place] for place in expired}
        members = _members(cluster, group)
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None
    moves = (
        Move(topic=place[0], partition=place[1], before=before.get(place), after=after[place], end=end[place])
        for place in (*moving, *expired)
    )
    return Plan(group=group, moves=tuple(moves), members=members)


def first_since(cluster: AdminClient, topic: str, moment: datetime) -> dict[int, int]:
    """By partition of the topic: the first record of that time or later, else its end. ReplayRefused as above."""
    try:
        places = _partitions(cluster, [topic])
        return {place[1]: offset for place, offset in _since(cluster, places, moment).items()}
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None


def apply(cluster: AdminClient, planned: Plan) -> None:
    """Does it, and returns when every partition has moved. ReplayRefused when the group is live, or became so."""
    try:
        live = Plan(group=planned.group, moves=(), members=_members(cluster, planned.group))
        if live.refusal:
            raise ReplayRefused(live.refusal)
        wanted = [TopicPartition(move.topic, move.partition, move.after) for move in planned.moves]
        [answer] = cluster.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(planned.group, wanted)], request_timeout=_PATIENCE
        ).values()
        moved = answer.result(_PATIENCE).topic_partitions or []
    except (KafkaException, TimeoutError) as error:
        raise _translated(error) from None
    failed = [place for place in moved if place.error is not None]
    if failed:
        raise ReplayRefused(
            f"{len(failed)} of {len(moved)} partitions were not moved, as {failed[0].topic}/{failed[0].partition}"
            f" ({failed[0].error}): has a worker of {planned.group} been started meanwhile? Stop it, and do it again"
        )


_Place = tuple[str, int]


def _partitions(cluster: AdminClient, topics: Iterable[str]) -> list[_Place]:
    places: list[_Place] = []
    for topic in topics:
        found = cluster.list_topics(topic, timeout=_PATIENCE).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        places += ((topic, partition) for partition in sorted(found.partitions))
    return places


def _offsets(cluster: AdminClient, places: Sequence[_Place], spec: OffsetSpec) -> dict[_Place, int]:
    asked = cluster.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=_PATIENCE)
    return {(place.topic, place.partition): answer.result(_PATIENCE).offset for place, answer in asked.items()}


def _since(cluster: AdminClient, places: Sequence[_Place], moment: datetime) -> dict[_Place, int]:
    end = _offsets(cluster, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # as above
    found = _offsets(cluster, places, OffsetSpec.for_timestamp(round(moment.timestamp() * 1000)))
    return {place: offset if offset >= 0 else end[place] for place, offset in found.items()}


def _committed(cluster: AdminClient, group: str, places: Sequence[_Place]) -> Mapping[_Place, int]:
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
    [answer] = cluster.list_consumer_group_offsets([wanted], request_timeout=_PATIENCE).values()
    found = answer.result(_PATIENCE).topic_partitions or []
    return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def _members(cluster: AdminClient, group: str) -> tuple[str, ...]:
    [answer] = cluster.describe_consumer_groups([group], request_timeout=_PATIENCE).values()
    try:
        return tuple(member.host.lstrip("/") for member in answer.result(_PATIENCE).members)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return ()
        raise


def _translated(error: KafkaException | TimeoutError) -> ReplayRefused:
    said = error.args[0].str().rstrip(".") if isinstance(error, KafkaException) else "no answer in time"
    return ReplayRefused(
        f"Kafka: {said}. Is KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and has `topics apply` been run?"
    )
