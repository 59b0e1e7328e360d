"""What Faust carries for us: batches of a topic's records, as they were read.

Its conductor, channel and stream cost more than all else that is done for a record up to its step, and they cost it for
each event, whatever that holds. So an event holds many records.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any, cast

import faust
from aiokafka import ConsumerRecord
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP, AppT, Message
from faust.types.tuples import ConsumerMessage

BATCH = 500  # records
QUEUED = 2  # batches that wait for an agent
EACH = 200  # records of a partition at a time: what is not taken yet waits as it came, compressed

# Faust drops what lies before what it has read of a partition. A batch is of several; the window looks at each record.
_NOT_BEFORE_ANYTHING = 2**63 - 1

Batch = Sequence[ConsumerRecord]


class InBatches(DefaultSchedulingStrategy):
    """Faust's order of what was read, topic by topic.

    The partitions of a topic take turns, so that a backlog of one does not go before the records of the others.
    """

    def __init__(self) -> None:
        """Faust makes one for each consumer."""

    def iterate(self, records: Mapping[TP, Batch]) -> Iterator[tuple[TP, Batch]]:
        topics: dict[str, list[TP]] = {}
        for tp in records:
            topics.setdefault(tp.topic, []).append(tp)
        for [tp, *others] in topics.values():
            turns = chain.from_iterable(zip_longest(records[tp], *(records[other] for other in others)))
            present = (record for record in turns if record is not None)
            while batch := list(islice(present, BATCH)):
                yield tp, batch


def as_message(tp: TP, batch: Batch, generation: int) -> ConsumerMessage:
    """A batch in the form that Faust hands on."""
    return ConsumerMessage(
        topic=tp.topic,
        partition=tp.partition,
        offset=_NOT_BEFORE_ANYTHING,
        timestamp=0.0,
        timestamp_type=0,
        headers=None,
        key=None,
        value=cast("bytes", batch),  # Faust knows only these; `AsTheyAre` lets it pass
        checksum=None,
        tp=tp,
        generation_id=generation,
    )


class AsTheyAre(faust.Schema[Any, Any]):
    """A batch is no bytes: there is nothing for Faust to decode."""

    def loads_key(self, app: AppT, message: Message, *, loads: object = None, serializer: object = None) -> Any:  # noqa: ARG002  Faust's signature
        return None

    def loads_value(self, app: AppT, message: Message, *, loads: object = None, serializer: object = None) -> Any:  # noqa: ARG002  as above
        return message.value
