"""The mapping files in force in a worker: taken up when they change, kept as they were when they cannot be used.

A folder is taken up as a whole or not at all, between two records. It cannot be used while a file in it is broken, or
while the registry does not know the schema of one: `leadstream topics apply` makes it known, and the next look takes
it up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest import telemetry
from ingest.codec import Codec
from ingest.records import Headers, Topics, headers
from ingest.registry import NotRegistered, Registry, RegistryError, RegistryUnavailable, resolve_codec
from processors import patience
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping
from processors.mapping.reading import BadMapping, Problem, mapping_files, read_folder
from processors.mapping.target import Target

_SAID = 5  # problems in one look's log


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A target in force: what maps a lead to it, and what writes that."""

    target: Target
    codec: Codec[dict[str, object]]
    headers: Headers

    @property
    def mapping(self) -> Mapping:
        return self.target.mapping


def read_mappings(folder: Path) -> list[Mapping]:
    """Those that are to be in force. BadMapping, also where there is none: that is rather a volume which is not there
    than a decision.
    """
    mappings = [loaded.mapping for loaded in read_folder(folder)]
    if not mappings:
        message = "no mapping file is in it: `leadstream mapping new` writes one; for no CRM topic, unset MAPPING_DIR"
        raise BadMapping([Problem(file=str(folder), line=0, field="", message=message)])
    return mappings


class Mappings:
    """The targets of `folder`; none of them without one. `every` is seconds between two looks."""

    def __init__(
        self,
        folder: Path | None,
        *,
        registry: Registry,
        topics: Topics,
        every: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._topics = topics
        self._every = every
        self._pause = pause
        self._now: tuple[Live, ...] = ()
        self._seen: object = None  # the files as they were when they were last taken up
        self._told: str | None = None

    @property
    def now(self) -> Sequence[Live]:
        """In the order of their names. Whoever maps a record asks once."""
        return self._now

    async def begin(self) -> None:
        """BadMapping or NotRegistered where they cannot be used; a registry that is away is waited for."""
        if self._folder is None:
            return
        async for attempt in patience.until(RegistryUnavailable):
            with attempt:
                await self._take(self._folder)
                return

    async def follow(self) -> None:
        """Looks for ever."""
        while True:
            await self._pause(self._every)
            await self.look()

    async def look(self) -> None:
        """Takes up what has changed, or tells once why it cannot."""
        if self._folder is None:
            return
        try:
            if await asyncio.to_thread(_state, self._folder) != self._seen:
                await self._take(self._folder)
        except BadMapping as error:
            self._refuse(error.problems, files={problem.file for problem in error.problems})
        except RegistryError as error:
            self._refuse((error,), files={""})
        else:
            self._told = None
            telemetry.MAPPINGS_BROKEN.set(0)

    async def _take(self, folder: Path) -> None:
        mappings, state = await asyncio.to_thread(_read_at_rest, folder)
        before = {live.mapping.id: live for live in self._now}
        live = [await self._resolve(mapping, before.get(mapping.id)) for mapping in mappings]
        self._now, self._seen = tuple(live), state
        for each in live:
            known = before.pop(each.mapping.id, None)
            if known is None or known.mapping.hash != each.mapping.hash:
                telemetry.log("info", "mapping.read", target=each.mapping.id, mapping=each.mapping.hash)
        for gone in before:
            telemetry.log("warning", "mapping.removed", target=gone)

    async def _resolve(self, mapping: Mapping, before: Live | None) -> Live:
        schema = avro_schema(mapping)
        if before is not None and avro_schema(before.mapping) == schema:
            codec = before.codec  # so that a registry that is away holds up no other change
        else:
            codec = await self._codec(mapping)
        return Live(target=Target(mapping), codec=codec, headers=headers({"mapping": mapping.hash}))

    async def _codec(self, mapping: Mapping) -> Codec[dict[str, object]]:
        try:
            return await resolve_codec(
                self._registry, avro_schema(mapping), subject=self._topics.subject(mapping.topic)
            )
        except NotRegistered as error:
            raise NotRegistered(f"{mapping.id}: {error}") from None

    def _refuse(self, problems: Sequence[Problem | RegistryError], *, files: set[str]) -> None:
        telemetry.MAPPINGS_BROKEN.set(len(files))
        told = "\n".join(map(str, problems))
        if told == self._told:
            return
        self._told = told
        # A mapping file is written by its owner and holds nothing of a lead, so what is wrong with it may be said.
        for problem in problems[:_SAID]:
            telemetry.log("error", "mapping.refused", why=str(problem), problems=len(problems))


def _read_at_rest(folder: Path) -> tuple[list[Mapping], object]:
    """The mappings, and the state they were read in: again where that changes meanwhile, as they would be of two."""
    while True:
        state = _state(folder)
        mappings = read_mappings(folder)
        if _state(folder) == state:
            return mappings, state


def _state(folder: Path) -> object:
    """What changes when a file does, also where it is replaced by another of the same size and second."""
    try:
        return [(path.name, _file_state(path)) for path in mapping_files(folder)]
    except OSError as error:
        return error.errno


def _file_state(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError as error:  # a link that leads nowhere: the others may still change
        return error.errno
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
