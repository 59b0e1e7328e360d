"""`work retry` on a real broker: what is due goes back in time, and what was parked when its page may be asked."""

import json
import time
from collections import Counter
from collections.abc import Sequence

from ingest.records import AGAIN, FATES, PARKED, RETRY, Record, headers
from processors.access import Standing, State, access_record
from tests.programs import Program, System, eventually

DELAYS = dict(zip(RETRY, (2_000, 4_000, 8_000), strict=True))  # milliseconds
MANY = 3000  # three windows


def work_retry(system: System) -> Program:
    """With a monitor that does not look while the test runs: what is open, the test says."""
    return system.start("work", "retry", RETRY_DELAYS="2,4,8", ACCESS_CHECK="3600")


def waiting(topic: str, numbers: range, *, pages: Sequence[str], reason: str = "no-answer") -> list[Record]:
    """Records that wait on a topic, each with its own origin; their pages take turns."""
    return [
        Record(
            topic=topic,
            key=pages[number % len(pages)].encode(),
            value=json.dumps({"value": {"leadgen_id": str(number), "page_id": pages[number % len(pages)]}}).encode(),
            headers=headers({"origin": f"{topic}@{number}", "attempt": 2, "fate-reason": reason}),
        )
        for number in numbers
    ]


def lateness(system: System) -> dict[str, list[int]]:
    """By rung, for every record that came back: how many milliseconds after it was due."""
    due = {record.origin: record.timestamp + delay for rung, delay in DELAYS.items() for record in system.records(rung)}
    late: dict[str, list[int]] = {rung: [] for rung in RETRY}
    for record in system.records(AGAIN):
        late[record.origin.rpartition("@")[0]].append(record.timestamp - due[record.origin])
    return late


def told(late: dict[str, list[int]]) -> str:
    return " · ".join(
        f"{rung.rpartition('.')[2]}: {len(each)} records, {min(each)} to {max(each)} ms late"
        for rung, each in late.items()
        if each
    )


def test_records_go_back_when_they_are_due_however_many_wait_on_another_rung(system: System) -> None:
    work_retry(system).wait_ready()
    pages = [str(100 + number) for number in range(40)]

    system.put(*waiting(RETRY[2], range(MANY), pages=pages[:3]))
    system.put(*waiting(RETRY[0], range(200), pages=pages))
    system.put(*waiting(RETRY[1], range(200), pages=pages))
    total = MANY + 400
    eventually(lambda: len(system.records(AGAIN)) >= total, 60, "all of them are back")

    late = lateness(system)
    print(f"\n{told(late)}")  # noqa: T201  the figures
    assert {rung: len(each) for rung, each in late.items()} == {RETRY[0]: 200, RETRY[1]: 200, RETRY[2]: MANY}
    assert min(min(each) for each in late.values()) >= 0
    assert max(late[RETRY[0]] + late[RETRY[1]]) <= 3000  # behind the last rung it would be four seconds and more
    assert max(late[RETRY[2]]) <= 15_000  # as many at once take their time, and only theirs
    for page in pages[:3]:
        order = [record.origin for record in system.records(RETRY[2]) if record.key == page.encode()]
        came = [record.origin for record in system.records(AGAIN) if record.key == page.encode()]
        assert [origin for origin in came if origin in set(order)] == order
    before = {record.origin: record for rung in RETRY for record in system.records(rung)}
    for record in system.records(AGAIN):
        there = before[record.origin]
        assert (record.key, record.value, record.headers) == (there.key, there.value, there.headers)


def test_a_retry_worker_killed_while_records_wait_loses_none(system: System) -> None:
    program = work_retry(system).wait_ready()
    pages = [str(100 + number) for number in range(40)]
    for rung in RETRY:
        system.put(*waiting(rung, range(500), pages=pages))
    eventually(lambda: system.records(AGAIN), 60, "the first are back")

    assert program.kill_child()
    expected = {record.origin for rung in RETRY for record in system.records(rung)}
    eventually(lambda: {record.origin for record in system.records(AGAIN)} >= expected, 60, "all are back")

    late = lateness(system)
    twice = len(system.records(AGAIN)) - len(expected)
    print(f"\n{told(late)}; {twice} twice")  # noqa: T201  the figures
    assert min(min(each) for each in late.values()) >= 0
    assert program.wait_ready().stop() == 0


def test_workers_that_join_and_leave_share_the_rungs_and_lose_none(system: System) -> None:
    """Three members of each process, subscribed to a rung each, in one group."""
    first = work_retry(system).wait_ready()
    pages = [str(100 + number) for number in range(40)]
    for rung in RETRY:
        system.put(*waiting(rung, range(300), pages=pages))

    second = work_retry(system).wait_ready()
    first.wait_ready()
    for rung in RETRY:
        system.put(*waiting(rung, range(300, 600), pages=pages))
    assert second.stop() == 0
    first.wait_ready()
    for rung in RETRY:
        system.put(*waiting(rung, range(600, 900), pages=pages))

    expected = {record.origin for rung in RETRY for record in system.records(rung)}
    assert len(expected) == 2700
    eventually(lambda: {record.origin for record in system.records(AGAIN)} >= expected, 60, "all are back")
    late = lateness(system)
    twice = len(system.records(AGAIN)) - len(expected)
    print(f"\n{told(late)}; {twice} twice")  # noqa: T201  the figures
    assert min(min(each) for each in late.values()) >= 0
    assert max(max(each) for each in late.values()) < 9000, "the group waited for a member that is gone (10 s)"
    assert first.stop() == 0


def says(system: System, page: str, state: State) -> None:
    standing = Standing(state=state, key=f"page:{page}", reason="permission", at=time.time_ns() // 1_000_000)
    system.put(access_record(standing))


def test_only_an_open_page_is_released_and_what_was_released_is_not_released_again(system: System) -> None:
    """Two processes look, each at the pages it holds."""
    [repaired, broken] = [page.page_id for page in system.graph.pages()[:2]]
    says(system, broken, "broken")
    programs = [work_retry(system), work_retry(system)]
    # A page that changes hands while it is released may be released twice: nothing is parked until both hold theirs.
    for program in (*programs, *programs):
        program.wait_ready()
    system.put(*waiting(PARKED, range(1000), pages=[repaired, broken], reason="token-expired"))
    order = {
        page: [it.origin for it in system.records(PARKED) if it.key == page.encode()] for page in (repaired, broken)
    }
    eventually(lambda: len(system.records(AGAIN)) >= 500, 60, "the repaired page's are back")
    a_few_looks()
    assert [record.origin for record in system.records(AGAIN)] == order[repaired]

    says(system, broken, "open")
    eventually(lambda: len(system.records(AGAIN)) >= 1000, 60, "the other page's are back")
    a_few_looks()
    assert [it.origin for it in system.records(AGAIN) if it.key == broken.encode()] == order[broken]
    assert Counter(json.loads(it.value or b"")["fate"] for it in system.records(FATES)) == {"released": 1000}

    killed = [pid for program in programs for pid in program.children()]
    assert [program.kill_child() for program in programs] == [True, True]
    eventually(
        lambda: not {pid for program in programs for pid in program.children()} & set(killed), 60, "they are gone"
    )
    for program in programs:
        program.wait_ready()
    a_few_looks()
    assert len(system.records(AGAIN)) == 1000
    lines = [line for program in programs for line in program.log.read_text().splitlines() if "parked.released" in line]
    assert sorted((said["page_id"], said["records"]) for said in map(json.loads, lines)) == sorted(
        [(repaired, 500), (broken, 500)]
    )


def a_few_looks() -> None:
    """Nothing is to happen, so there is nothing else to wait for."""
    time.sleep(4)
