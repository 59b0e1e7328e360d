"""Avro in Confluent's frame: 0x00, the writer schema's id as four bytes, the datum. Performs no I/O of its own.

Ids are given at start, so encoding asks nobody. A frame of a schema that was never seen raises `UnknownSchema`: whoever
can reach the registry looks the schema up, lets the codec `learn` it, and decodes again (`ingest/registry.py` does).

No text of an error here quotes a record: its fields are answers of people.
"""

import struct
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, Generic, TypeVar, cast

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException
from fastavro.validation import validate

import schemas
from ingest.compiled import NOT_PLAIN, compile_writer

Record = TypeVar("Record", bound=Mapping[str, object])

_FRAME = struct.Struct(">bI")
_MAGIC = 0
# What fastavro raises when bytes are not what the schema says; found by feeding it random ones.
_DAMAGE = (EOFError, IndexError, KeyError, OverflowError, TypeError, ValueError)


class DecodeError(Exception):
    """A value cannot be decoded. The three ways are told apart, as a reader acts differently on each."""


class NotFramed(DecodeError):
    """The value does not begin with Confluent's frame: it was not written by an Avro producer."""


class Damaged(DecodeError):
    """The value is framed, but what follows is not a record of its schema, or not one of ours."""


class UnknownSchema(DecodeError):
    """The value was written with a schema that this codec has not learnt yet."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema {schema_id} is not known here; look it up in the registry, learn it, decode again")
        self.schema_id = schema_id


class DoesNotFit(Exception):
    """A record cannot be written, as it is not of its schema; the text names the fields."""


class Codec(Generic[Record]):
    """Encodes and decodes one type of record.

    It writes the schema it was made with, and reads that and every one it has learnt as if written with it: fields that
    are new here take their defaults, fields that are unknown here are left out.
    """

    def __init__(self, of: str | schemas.Schema, *, schema_id: int) -> None:
        """`of` is the name of a schema of ours, such as `Lead`, or a schema; `schema_id` its id in the registry."""
        schema = schemas.avro(of) if isinstance(of, str) else of
        self.name = str(schema["name"])
        self._fields = cast("list[dict[str, Any]]", schema["fields"])  # Any: Avro's JSON is as it is
        self._schema = fastavro.parse_schema(dict(schema))
        self._head = _FRAME.pack(_MAGIC, schema_id)
        self._write = compile_writer(schema, self._head)
        # None: written as we write, so that nothing has to be resolved.
        self._writers: dict[int, fastavro.types.Schema | None] = {schema_id: None}

    def encode(self, record: Record) -> bytes:
        """The framed record. A field that is missing or unknown raises `DoesNotFit`, as does a wrong type."""
        if self._write is not None:
            with suppress(*NOT_PLAIN):  # what fastavro has to decide on, and to tell what is wrong with
                return self._write(record)
        out = BytesIO()
        out.write(self._head)
        try:
            fastavro.schemaless_writer(out, self._schema, record, strict=True)
        except (*_DAMAGE, AttributeError):
            raise DoesNotFit(
                f"{self.name}: {', '.join(self._misfits(record)) or 'a text in it is not Unicode'}"
            ) from None
        return out.getvalue()

    def decode(self, frame: bytes) -> Record:
        """The record inside a frame; timestamps are aware datetimes in UTC, dates are dates."""
        if len(frame) < _FRAME.size or frame[0] != _MAGIC:
            raise NotFramed(f"{self.name}: the value does not begin with Confluent's frame")
        _, schema_id = _FRAME.unpack_from(frame)
        try:
            writer = self._writers[schema_id]
        except KeyError:
            raise UnknownSchema(schema_id) from None
        datum = BytesIO(frame)
        datum.seek(_FRAME.size)
        try:
            if writer is None:
                record = fastavro.schemaless_reader(datum, self._schema, None)
            else:
                record = fastavro.schemaless_reader(datum, writer, self._schema)
        except SchemaResolutionError:
            raise Damaged(f"{self.name}: schema {schema_id} is of something else") from None
        except _DAMAGE:
            raise Damaged(f"{self.name}: the bytes are not a record of schema {schema_id}") from None
        if datum.tell() != len(frame):
            raise Damaged(f"{self.name}: bytes are left over after the record of schema {schema_id}")
        return cast("Record", record)

    def learn(self, schema_id: int, schema: schemas.Schema) -> None:
        """From now on frames of this writer schema can be decoded. `Damaged` if it is no Avro schema."""
        try:
            self._writers[schema_id] = fastavro.parse_schema(dict(schema))
        except (SchemaParseException, *_DAMAGE):
            raise Damaged(f"{self.name}: schema {schema_id} is not an Avro schema") from None

    def _misfits(self, record: Record) -> list[str]:
        types = {field["name"]: field["type"] for field in self._fields}
        return [
            *(f"{name} is unknown" for name in record.keys() - types.keys()),
            *(f"{name} is missing" for name in types.keys() - record.keys()),
            *(
                f"{name} is of the wrong type"
                for name, value in record.items()
                if name in types and not validate(value, types[name], raise_errors=False, strict=True)
            ),
        ]
