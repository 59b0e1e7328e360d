"""One connection to the public port: plain deliveries are taken here, anything else is left to aiohttp.

That costs a fraction of what aiohttp's server spends on a delivery, which makes a request, its headers, a stream and a
task of it. With the first request that is not plain the whole connection is handed over, so that HTTP's fine print is
decided in one place only.
"""

import asyncio
from collections.abc import Callable

from ingest import answers, door
from ingest.answers import Answer, Refused
from ingest.plain import plain

KEEP_ALIVE_SECONDS = 75.0  # how long a connection may say nothing
LINGER_SECONDS = 2.0  # how long an unread body is thrown away after a refusal, so that the sender sees the answer

_IDLE, _ARRIVING, _WAITING, _ANSWERED, _LINGERING, _GONE = range(6)


class Connection(asyncio.Protocol):
    """`ordinary` makes aiohttp's protocol of a connection that is handed over; `opened` holds those that are not."""

    __slots__ = (
        "_active",
        "_body",
        "_body_timer",
        "_claimed",
        "_door",
        "_ends",
        "_expected",
        "_held",
        "_loop",
        "_opened",
        "_ordinary",
        "_size",
        "_state",
        "_timer",
        "_transport",
        "_unread",
        "gone",
    )

    def __init__(self, to: door.Door, ordinary: Callable[[], asyncio.Protocol], opened: "set[Connection]") -> None:
        self._door = to
        self._ordinary = ordinary
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._state = _IDLE
        self._ends = False  # with the answer of what is open
        self._active = 0.0  # when the last answer was given, by the loop's clock
        self._claimed = b""  # the digest of its signature
        self._expected = 0  # bytes of the body
        self._size = 0  # of them that came
        self._body: list[bytes] = []
        self._held = b""  # what came behind a delivery that has no answer yet
        self._unread = False  # answers pile up here, as their reader does not read them
        self.gone: asyncio.Future[None] = self._loop.create_future()  # it is closed, or handed over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP server it is one
        self._opened.add(self)
        self._active = self._loop.time()
        self._timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._tire)
        self._body_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, _: Exception | None) -> None:
        if self._state == _ARRIVING:
            self._door.left(self._size)
            self._door.refuse(Refused(answers.GONE, "gone"))
        self._state = _GONE
        self._forget()

    def pause_writing(self) -> None:
        """Who does not read its answers is asked for nothing more."""
        self._unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread = False
        if self._state == _ANSWERED:
            self._go_on()
        elif not self._held:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._state == _IDLE:
            self._begin(data)
        elif self._state == _ARRIVING:
            self._arrive(data)
        elif self._state in (_WAITING, _ANSWERED):
            self._hold(data)
        elif self._state == _LINGERING:
            self._size += len(data)
            if self._size >= self._expected:
                self._transport.close()

    def close(self) -> None:
        """Now, or with the answer of what is open."""
        self._ends = True
        if self._state in (_IDLE, _ANSWERED, _LINGERING):
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _begin(self, data: bytes) -> None:
        found = plain(data)
        if found is None:
            self._hand_over(data)
            return
        self._claimed, self._expected, at = found
        self._size = 0
        body = data[at:]
        if len(body) > self._expected:  # a sender that does not wait for answers
            self._hand_over(data)
            return
        try:
            self._door.admit(self._expected)
        except Refused as refused:
            self._refuse(refused, seen=len(body))
            return
        self._arrive(body)

    def _arrive(self, chunk: bytes) -> None:
        left = self._expected - self._size
        if len(chunk) > left:
            self._hold(chunk[left:])
            chunk = chunk[:left]
        self._size += len(chunk)
        try:
            self._door.arrived(len(chunk), size=self._size)
        except Refused as refused:
            self._door.left(self._size)
            self._refuse(refused, seen=self._size)
            return
        if self._size < self._expected:
            self._body.append(chunk)
            self._state = _ARRIVING
            if self._body_timer is None:
                self._body_timer = self._loop.call_later(door.BODY_SECONDS, self._too_slow)
            return
        if self._body:
            chunk = b"".join((*self._body, chunk))
            self._forget_body()
        self._state = _WAITING
        self._door.take(self._claimed, chunk, self._answer)

    def _answer(self, answer: Answer | None) -> None:
        if self._state != _WAITING:
            return  # its sender has gone; the delivery has not
        self._transport.write(answers.on_the_wire(answer, last=self._ends))
        self._answered()

    def _answered(self) -> None:
        self._active = self._loop.time()
        if self._ends:
            self._transport.close()
        elif self._held:
            self._state = _ANSWERED
            self._loop.call_soon(self._go_on)
        else:
            self._state = _IDLE

    def _refuse(self, refused: Refused, *, seen: int) -> None:
        """Before all of the body was read, of which `seen` bytes are thrown away already."""
        self._forget_body()
        whole = seen >= self._expected
        answer = self._door.refuse(refused)
        self._transport.write(answers.on_the_wire(answer, last=self._ends or not whole))
        if not whole:
            self._state = _LINGERING
            self._size = seen
            self._timer.cancel()
            self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.abort)
        else:
            self._answered()

    def _too_slow(self) -> None:
        self._door.left(self._size)
        self._refuse(Refused(answers.TOO_SLOW, "too-slow"), seen=self._size)

    def _hold(self, data: bytes) -> None:
        self._held += data
        self._transport.pause_reading()

    def _go_on(self) -> None:
        """With what came behind the delivery that was answered, unless its sender has to read first, or we end."""
        if self._state == _ANSWERED and not self._unread and not self._ends:
            held, self._held = self._held, b""
            self._state = _IDLE
            self._transport.resume_reading()
            self._begin(held)

    def _hand_over(self, data: bytes) -> None:
        """To aiohttp, with all that comes."""
        self._forget()
        ordinary = self._ordinary()
        self._transport.set_protocol(ordinary)
        ordinary.connection_made(self._transport)
        ordinary.data_received(data)

    def _tire(self) -> None:
        quiet = self._loop.time() - self._active
        idle = self._state in (_IDLE, _ANSWERED)
        if idle and quiet >= KEEP_ALIVE_SECONDS:
            self._transport.abort()  # `close` would wait without end for a sender that does not read its answers
        else:
            wait = KEEP_ALIVE_SECONDS - quiet if idle else KEEP_ALIVE_SECONDS
            self._timer = self._loop.call_later(wait, self._tire)

    def _forget(self) -> None:
        self._opened.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)
        self._timer.cancel()
        self._forget_body()

    def _forget_body(self) -> None:
        self._body = []
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
