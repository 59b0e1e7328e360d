"""`leadstream tail`: what is on a topic, decoded. People's answers are shown, for that is asked, and on stdout only."""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.cells import set_cell_size
from rich.console import Console

import schemas
from deploy.reading import Decoder
from ingest.codec import DecodeError
from ingest.reading import Reader, ReadingError
from ingest.records import CRM, LEADS, Received, Topics
from ingest.registry import RegistryError
from ingest.settings import KafkaSettings, RegistrySettings, read
from schemas.shapes import Lead

Decode = Callable[[bytes], object]

LEAD_COLUMNS: Mapping[str, int] = {  # and how many characters of each there is room for
    "lead": 17,
    "form": 20,
    "name": 17,
    "e-mail": 27,
    "telephone": 15,
    "through": 10,
}


def tail(
    topic: Annotated[str, typer.Option(help="Any topic of ours, without TOPIC_PREFIX.")] = LEADS,
    last: Annotated[int, typer.Option(min=0, help="So many of the newest records.")] = 10,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Every record instead.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on as they come; ^C ends it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, with all there is.")] = False,
) -> None:
    """Decoded leads, or the records of any other topic, newest last. They hold people's answers.

    Example: leadstream tail --last 20 --follow
    """
    if topic not in schemas.topics() and not topic.startswith(CRM):
        known = ", ".join((*schemas.topics(), f"{CRM}<target>.v1"))
        raise typer.BadParameter(f"{topic} is none of {known}.", param_hint="--topic")
    settings = read(KafkaSettings)
    name = Topics(prefix=settings.topic_prefix)(topic)
    try:
        line = in_json(topic, _decoder(topic)) if as_json else in_a_line(topic, _decoder(topic))
        if topic == LEADS and not as_json:
            typer.echo(_cells(LEAD_COLUMNS))
        with Reader(settings) as reader:
            for received in _records(reader, name, None if from_beginning else last, follow=follow):
                typer.echo(line(received))
    except (ReadingError, RegistryError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def lead_row(lead: Lead) -> tuple[str, ...]:
    """What a person looks for first in a lead, one text for each of `LEAD_COLUMNS`."""
    parts = (lead["first_name"], lead["last_name"])
    kind = "test" if lead["is_test"] else "organic" if lead["is_organic"] else "ad" if lead["ad_id"] else "no ad"
    return (
        lead["lead_id"],
        lead["form_name"] or lead["form_id"] or "",
        lead["full_name"] or " ".join(part for part in parts if part),
        lead["email"] or lead["work_email"] or "",
        lead["phone"] or lead["work_phone"] or lead["whatsapp"] or "",
        f"{lead['platform'] or ''} {kind}".lstrip(),
    )


def _records(reader: Reader, topic: str, last: int | None, *, follow: bool) -> Iterator[Received]:
    """All there are now, or the `last` by time; and then those to come."""
    ends = {partition: end for partition, (_, end) in reader.bounds(topic).items()}
    if last is None:
        yield from reader.read(topic, until=ends)
    else:
        since = {partition: end - last for partition, end in ends.items()}
        newest = heapq.nlargest(last, reader.read(topic, since, ends), key=_moment)
        yield from sorted(newest, key=_moment)
    if follow:
        yield from reader.follow(topic, ends)


def _moment(received: Received) -> int:
    return received.timestamp


def _decoder(topic: str) -> Decode:
    """What reads a value of the topic: Avro by its schema, JSON, or else text."""
    declared = schemas.topics().get(topic)
    schema = declared.schema if declared else None  # that of a mapping file is whatever was registered last
    if declared and schema is None:
        return _text_or_json
    subject = Topics(prefix=read(KafkaSettings).topic_prefix).subject(topic)
    decoder: Decoder[dict[str, object]] = Decoder(read(RegistrySettings), schema, subject=subject)
    return decoder


def _text_or_json(value: bytes) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value.decode("utf-8", "backslashreplace")


def _decoded(received: Received, decode: Decode) -> object:
    if received.value is None:
        return None
    try:
        return decode(received.value)
    except DecodeError as error:
        return {"cannot be decoded": str(error)}


def in_json(topic: str, decode: Decode) -> Callable[[Received], str]:
    def line(received: Received) -> str:
        return _dump(
            {
                "topic": topic,
                "partition": received.partition,
                "offset": received.offset,
                "timestamp": datetime.fromtimestamp(received.timestamp / 1000, tz=UTC),
                "key": _key(received),
                "headers": {name: value.decode("utf-8", "replace") for name, value in received.headers},
                "value": _decoded(received, decode),
            }
        )

    return line


def in_a_line(topic: str, decode: Decode) -> Callable[[Received], str]:
    def line(received: Received) -> str:
        value = _decoded(received, decode)
        if topic == LEADS and isinstance(value, dict) and "lead_id" in value:
            return _cells(lead_row(value))  # type: ignore[arg-type]  # the schema of this topic says that it is one
        when = datetime.fromtimestamp(received.timestamp / 1000, tz=UTC).isoformat(" ", "milliseconds")
        where = f"{received.partition}@{received.offset}"
        reason = received.header("fate-reason")
        said = "erased" if value is None else value if isinstance(value, str) else _dump(value)
        return f"{when}  {where:>8}  {_key(received) or '-':<17}  {reason + '  ' if reason else ''}{said}"

    return line


def _cells(texts: Iterable[str]) -> str:
    """One row: cut to the columns at a terminal, whole where a program reads it."""
    fits = Console().is_terminal
    widths = LEAD_COLUMNS.values()
    cells = [
        set_cell_size(text, width) if fits or len(text) < width else text
        for text, width in zip(texts, widths, strict=True)
    ]
    return "  ".join(cells).replace("\n", " ").rstrip()


def _key(received: Received) -> str | None:
    return None if received.key is None else received.key.decode("utf-8", "replace")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_as_text)


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
