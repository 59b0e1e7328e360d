"""A worker gives up so many records a minute and no more."""

import asyncio

import pytest

from processors.limit import Limit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_the_record_beyond_the_limit_waits_until_the_minute_has_room() -> None:
    clock = Clock()
    limit = Limit(worker="fetch", per_minute=3, clock=lambda: clock.now, pause=clock.pause)

    async def scenario() -> list[float]:
        given_up = []
        for _ in range(7):
            await limit.give_up()
            given_up.append(clock.now)
            clock.now += 1
        return given_up

    assert asyncio.run(scenario()) == [0, 1, 2, 60, 61, 62, 120]


def test_standing_still_is_one_alarm_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    limit = Limit(worker="fetch", per_minute=60, clock=lambda: clock.now, pause=clock.pause)

    async def scenario() -> None:
        for number in range(180):
            await limit.give_up()
            clock.now += 0.5 if number < 60 else 0.0

    asyncio.run(scenario())
    assert len(clock.pauses) > 2
    assert capsys.readouterr().out.count("worker.limit") == 2


def test_below_the_limit_nobody_waits() -> None:
    clock = Clock()
    limit = Limit(worker="fetch", per_minute=3, clock=lambda: clock.now, pause=clock.pause)

    async def scenario() -> None:
        for _ in range(20):
            await limit.give_up()
            clock.now += 20

    asyncio.run(scenario())
    assert clock.pauses == []
