"""`leadstream connect watch`: what has failed in Kafka Connect is restarted, and told of when that does not help."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import aiohttp
from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from ingest import telemetry
from ingest.settings import ConnectSettings, read

from .patience import Limits, Patience
from .rest import Connect, Connector, Unreachable


class WatchSettings(ConnectSettings):
    """What is watched, and how patiently; the options of `connect watch` win over them."""

    connect_connectors: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="names, comma-separated; none means all"
    )
    connect_every: float = Field(default=10.0, gt=0, description="seconds between two looks")
    connect_limit: int = Field(default=5, ge=1, description="restarts of one connector within CONNECT_WITHIN")
    connect_within: float = Field(default=600.0, gt=0, description="seconds")

    @field_validator("connect_connectors", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def limits(self) -> Limits:
        return Limits(every=self.connect_every, limit=self.connect_limit, within=self.connect_within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look found. `trouble` is a sentence where the look itself failed, else empty."""

    failed: tuple[Connector, ...] = ()
    missing: tuple[str, ...] = ()
    trouble: str = ""


class Watcher:
    """Looks at Connect, and does what `Patience` says; tells of a change once, by event and by gauge."""

    def __init__(
        self,
        connect: Connect,
        limits: Limits,
        *,
        only: Collection[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._limits = limits
        self._only = only
        self._now = now
        self._patience: dict[str, Patience] = {}
        self._reached = True

    async def look(self) -> Seen:
        """One look at every connector, or at those that are watched, and the restarts that are due."""
        try:
            there = [each for each in await self._connect.connectors() if not self._only or each.name in self._only]
            if not self._reached:
                telemetry.log("info", "connect.recovered")
            self._reached = True
            for name in self._patience.keys() - {each.name for each in there}:
                del self._patience[name]  # deleted: an alarm about it would never end
                telemetry.CONNECT_FAILED.labels(connector=name).set(0)
        except Unreachable as error:
            if self._reached:
                telemetry.log("error", "connect.unreachable")
            self._reached = False
            return Seen(trouble=str(error))
        refused = [said for each in there if (said := await self._attend(each))]
        return Seen(
            failed=tuple(each for each in there if each.failed),
            missing=tuple(sorted(set(self._only) - {each.name for each in there})),
            trouble=", ".join(refused),
        )

    async def _attend(self, connector: Connector) -> str:
        """A sentence where a restart was refused, as it is while workers join or leave; it is tried again."""
        name = connector.name
        patience = self._patience.setdefault(name, Patience(self._limits))
        telemetry.CONNECT_FAILED.labels(connector=name).set(connector.failed)
        match patience.look(connector.failed > 0, self._now()):
            case "restart":
                telemetry.log(
                    "warning", "connect.failed", connector=name, failed=connector.failed, error=connector.error
                )
                try:
                    await self._connect.restart(name)
                except Unreachable as error:
                    telemetry.log("error", "connect.unreachable", connector=name)
                    return f"{name} could not be restarted: {error}"
                patience.restarted(self._now())
                telemetry.CONNECT_RESTARTS.labels(connector=name).inc()
                telemetry.log("info", "connect.restarted", connector=name)
            case "give up":
                telemetry.log(
                    "error", "connect.given-up", connector=name, failed=connector.failed, error=connector.error
                )
            case "recovered":
                telemetry.log("info", "connect.recovered", connector=name)
            case "wait" | "well":
                pass
        return ""


async def watch(stop: asyncio.Event, report: Callable[[bool, str], None]) -> None:
    """Looks until told to stop, and reports after each look whether Connect answers; settings from the environment."""
    settings = read(WatchSettings)
    async with aiohttp.ClientSession() as session:
        connect = Connect(settings.connect_url, session=session)
        watcher = Watcher(connect, settings.limits, only=settings.connect_connectors)
        while not stop.is_set():
            seen = await watcher.look()
            absent = f"there is no connector {', '.join(seen.missing)}" if seen.missing else ""
            why = seen.trouble or absent
            report(not why, why)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), settings.connect_every)


async def look_once(settings: WatchSettings) -> Seen:
    """One look; what has failed is restarted."""
    async with aiohttp.ClientSession() as session:
        connect = Connect(settings.connect_url, session=session)
        return await Watcher(connect, settings.limits, only=settings.connect_connectors).look()
