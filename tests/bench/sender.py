"""Who posts: the load generator of peers/go as suites run it, and a single signed POST to see whether a door is up."""

import hmac
import json
import subprocess
import urllib.error
import urllib.request
from typing import TypedDict

from .contender import Say
from .peers.go.contenders import load
from .running import Broken, Command
from .world import APP_SECRET

PATH = "/webhook"
PROBE = "1"  # the lead by which a door is seen to be up
_TIME = 1728000000  # unix seconds, as long as now


class Told(TypedDict):
    """What became of the POSTs; times are milliseconds, of those answered 200."""

    posts: int
    status: dict[str, int]
    changes_accepted: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    cpu_seconds: float


class Sender:
    """The load generator, built; Unavailable where it cannot be."""

    def __init__(self, say: Say) -> None:
        self._load = load(say)

    def post(self, port: int, *, within: float, **flags: object) -> Told:
        """Runs it to its end, `flags` as its own; Broken when it does not end within so many seconds more than told."""
        command = self.command(port, **flags)
        try:
            done = subprocess.run(command.arguments, capture_output=True, text=True, timeout=within, check=False)
        except subprocess.TimeoutExpired:
            raise Broken(f"its POSTs were not all answered within {within:.0f} s") from None
        if done.returncode:
            raise Broken(f"could not be posted to: {done.stderr.strip()}")
        told: Told = json.loads(done.stdout)
        return told

    def command(self, port: int, **flags: object) -> Command:
        """How it is started in the background; its one line of JSON goes to standard output."""
        given = {"url": webhook(port), "secret": APP_SECRET, **flags}
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        return self._load.with_arguments(*arguments)


def webhook(port: int) -> str:
    return f"http://127.0.0.1:{port}{PATH}"


def body(changes: int) -> bytes:
    """A delivery as the load generator makes them, at most ten changes of a page in an entry."""
    entries = [
        {"id": page, "time": _TIME, "changes": [_change(lead, page) for lead in range(first, min(first + 10, changes))]}
        for first in range(0, changes, 10)
        if (page := str(10**14 + first // 10 % 100))
    ]
    return json.dumps({"object": "page", "entry": entries}, separators=(",", ":")).encode()


def _change(lead: int, page: str) -> dict[str, object]:
    value = {"leadgen_id": str(lead + int(PROBE)), "page_id": page, "form_id": str(3 * 10**14)}
    value |= {"adgroup_id": str(5 * 10**14), "ad_id": str(5 * 10**14)}
    return {"field": "leadgen", "value": value | {"created_time": _TIME}}


def takes_leads(port: int) -> bool:
    """Whether a door at a port of ours answers 200 to one signed lead, PROBE."""
    probe = body(1)
    signature = "sha256=" + hmac.digest(APP_SECRET.encode(), probe, "sha256").hex()
    said = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    asked = urllib.request.Request(webhook(port), probe, said)  # noqa: S310  a loopback port of ours
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310  the same
            return bool(answer.status == 200)
    except OSError:  # an HTTPError is one too
        return False
