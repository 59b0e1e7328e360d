"""What happens to one page is nobody else's affair: its leads wait outside the window, and Meta is left alone."""

import json
import time
from collections import Counter
from pathlib import Path

from deploy.account import take_account
from ingest.records import AGAIN, DETAILS, FATES, LEADS, PARKED, Received
from tests.programs import Program, System, eventually

LADDER = {"RETRY_DELAYS": "2,4,8", "ACCESS_CHECK": "1"}
THROTTLED_SECONDS = 60  # the shortest estimate there is: Meta counts in minutes
LEADS_OF_A_DEAD_TOKEN = 5000


def start_all(system: System) -> dict[str, Program]:
    commands = (("serve",), ("work", "fetch"), ("work", "retry"), ("work", "map"))
    programs = {command[-1]: system.start(*command, **LADDER) for command in commands}
    for program in programs.values():
        program.wait_ready()
    return programs


def fates(system: System) -> dict[str, tuple[str, str]]:
    """The last fate of each origin that has one."""
    told = [json.loads(record.value) for record in system.records(FATES) if record.value is not None]
    return {fate["origin"]: (fate["fate"], fate["reason"]) for fate in told}


def times_said(program: Program, event: str) -> int:
    return program.log.read_text().count(f'"event": "{event}"')


def seconds_to_details(records: list[Received]) -> list[float]:
    return sorted((record.timestamp - int(record.header("received-at") or 0)) / 1000 for record in records)


def p99(seconds: list[float]) -> float:
    return seconds[int(len(seconds) * 0.99)]


def test_a_throttled_page_costs_the_others_no_time_and_is_not_called_before_its_time(system: System) -> None:
    programs = start_all(system)
    throttled, *others = [page.page_id for page in system.graph.pages()]
    quiet = system.graph.deliver(system.webhook, 600, changes_per_post=3, rate=40)
    system.graph.wait(quiet.job)
    eventually(lambda: len(system.keys(DETAILS)) == 600, 60, "every lead fetched")
    before = seconds_to_details(system.records(DETAILS))

    begun = time.time()
    system.graph.throttle(throttled, seconds=THROTTLED_SECONDS)
    loud = system.graph.deliver(system.webhook, 1500, changes_per_post=3, rate=40)
    system.graph.wait(loud.job)
    eventually(lambda: set(system.graph.acknowledged()) <= system.keys(LEADS), 120, "every acknowledged lead")

    refused = system.graph.calls(page=throttled, since=begun).by_code["80005"]
    in_between = system.graph.calls(page=throttled, since=begun + 5, until=begun + THROTTLED_SECONDS - 0.5)
    assert in_between.total == 0
    assert refused <= 4 * 50  # what was under way when the first of them was refused
    assert times_said(programs["fetch"], "access.paused") == 1

    pages = {
        record.origin: json.loads(record.value or b"")["value"]["page_id"]
        for record in system.records("meta.leadgen.raw")
    }
    during = [
        record
        for record in system.records(DETAILS)[600:]
        if str(pages[record.origin]) in others and record.timestamp < (begun + THROTTLED_SECONDS) * 1000
    ]
    assert len(during) > 500
    after = seconds_to_details(during)
    print(f"\np99 of the others: {p99(before):.3f} s before, {p99(after):.3f} s beside it; {refused} calls refused")  # noqa: T201
    assert p99(after) < 2 * p99(before) + 2  # behind the throttled page it would be the rest of its minute
    assert Counter(fate for fate, _ in fates(system).values()).keys() == {"fetched"}


def test_a_dead_token_parks_its_leads_with_one_alert_and_the_repair_releases_them_in_order(
    system: System, tmp_path: Path
) -> None:
    programs = start_all(system)
    page = system.graph.pages()[0].page_id
    system.graph.wait(system.graph.deliver(system.webhook, 20, changes_per_post=5).job)
    eventually(lambda: len(system.keys(LEADS)) == 20, 60, "the leads of before")

    system.graph.kill_token(page)
    job = system.graph.deliver(system.webhook, LEADS_OF_A_DEAD_TOKEN, page=page, changes_per_post=50).job
    system.graph.wait(job)
    eventually(
        lambda: len({record.origin for record in system.records(PARKED)}) == LEADS_OF_A_DEAD_TOKEN,
        120,
        "every lead of the page parked",
    )
    assert times_said(programs["fetch"], "access.broken") == 1
    assert 1 <= calls_with_a_dead_token(system) <= 4
    time.sleep(5)  # several looks of the monitor, none of which may use the dead token
    assert calls_with_a_dead_token(system) <= 4

    begun = time.monotonic()
    system.graph.repair_token(page)
    eventually(lambda: set(system.graph.acknowledged()) <= system.keys(LEADS), 180, "every acknowledged lead")
    print(f"\n{LEADS_OF_A_DEAD_TOKEN} parked leads were mapped {time.monotonic() - begun:.1f} s after the repair")  # noqa: T201  the figure

    assert [record.origin for record in in_order(system.records(AGAIN))] == [
        record.origin for record in in_order(system.records(PARKED))
    ]
    assert len(system.records(AGAIN)) == LEADS_OF_A_DEAD_TOKEN
    account = take_account(system.kafka, tmp_path / "account")
    assert account.holds
    assert account.total["fetched"] == sum(account.total.values()) == LEADS_OF_A_DEAD_TOKEN + 20
    assert calls_with_a_dead_token(system) <= 4
    twice = {lead: calls for lead, calls in system.graph.lead_calls(page=page).items() if calls > 2}
    assert twice == {}


def calls_with_a_dead_token(system: System) -> int:
    """Of all pages: a batch that is refused as a whole, with all its leads, is a call for none."""
    return system.graph.calls().by_code.get("190", 0)


def in_order(records: list[Received]) -> list[Received]:
    return sorted(records, key=lambda record: (record.partition, record.offset))
