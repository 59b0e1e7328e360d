"""How commands that run and end read topics: what cannot be done is a sentence, and values of Avro are decoded."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, TypeVar

import typer

from deploy.sending import NotSent
from ingest.codec import Codec, UnknownSchema
from ingest.reading import Reader, ReadingError
from ingest.registry import NotRegistered, Registry, open_registry, resolve_codec
from ingest.settings import KafkaSettings, RegistrySettings, read

Record = TypeVar("Record", bound=Mapping[str, object])


@contextmanager
def reading() -> Iterator[tuple[KafkaSettings, Reader]]:
    """A reader with the settings it has from the environment. What cannot be read or sent within it ends the command:
    a sentence on stderr, and exit code 1.
    """
    settings = read(KafkaSettings)
    try:
        with Reader(settings) as reader:
            yield settings, reader
    except (ReadingError, NotSent) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None


class Decoder(Generic[Record]):
    """Reads frames of one type of record; a schema that is new here is looked up in the registry.

    Making one and calling it can raise RegistryError, and calling it DecodeError. Not for use inside an event loop.
    """

    def __init__(self, settings: RegistrySettings, name: str | None, *, subject: str) -> None:
        """`name` is a schema of ours, such as `Lead`, that `topics apply` registered under `subject`; None is the
        newest schema there, whoever made it.
        """
        self._settings = settings
        self._codec: Codec[Record] = asyncio.run(self._resolve(name, subject))

    def __call__(self, frame: bytes) -> Record:
        try:
            return self._codec.decode(frame)
        except UnknownSchema as unknown:
            asyncio.run(self._learn(unknown.schema_id))
            return self._codec.decode(frame)

    async def _resolve(self, name: str | None, subject: str) -> Codec[Record]:
        async with self._registry() as registry:
            schema = name or await registry.latest(subject)
            if schema is None:
                raise NotRegistered(f"no schema is registered under {subject}: run `leadstream topics apply`")
            return await resolve_codec(registry, schema, subject=subject)

    async def _learn(self, schema_id: int) -> None:
        async with self._registry() as registry:
            self._codec.learn(schema_id, await registry.schema_of(schema_id))

    def _registry(self) -> AbstractAsyncContextManager[Registry]:
        settings = self._settings
        return open_registry(
            settings.registry_url, username=settings.registry_username, password=settings.registry_password
        )
