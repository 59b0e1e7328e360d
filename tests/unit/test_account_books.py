"""The books of the account: only what is new is read, and what they cannot be trusted with is read anew."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.account import AccountError
from deploy.account.entries import of_details
from ingest.records import (
    ACCESS,
    AGAIN,
    DEAD,
    DETAILS,
    FATES,
    LEADS,
    PARKED,
    RAW,
    Received,
    Record,
    headers,
)
from tests.cluster import NOW, Cluster
from tests.past import Past, at, kinds, lost


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_only_what_is_new_is_read(past: Past) -> None:
    """And of each topic that has something new, the last record that is known, to see that it is still there."""
    for _ in range(50):
        past.arrive(past.raw())
    past.account()
    assert past.read == 150
    past.account()
    assert past.read == 0
    past.raw()
    past.account()
    assert past.read == 2


def test_records_below_the_first_of_raw_are_forgotten(past: Past) -> None:
    for _ in range(4):
        past.arrive(past.raw())
    assert kinds(past.account()) == {"fetched": 4}
    past.expired = {past.cluster.topics(RAW)}
    account = past.account()
    assert (account.pages, account.holds) == ({}, True)


def test_records_that_are_older_than_raw_keeps_them_are_forgotten(past: Past) -> None:
    past.arrive(past.raw())
    gone = past.raw()
    assert lost(past.account()) == [("fetch", at(gone, RAW))]
    past.now = NOW + 91 * 86_400_000
    account = past.account()
    assert (account.pages, account.targets[LEADS], account.holds) == ({}, {}, True)
    books = sqlite3.connect(past.folder / "books.sqlite")
    past.now += 86_400_000
    past.account()
    assert books.execute("SELECT (SELECT count(*) FROM promise) + (SELECT count(*) FROM details)").fetchone() == (0,)
    books.close()


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000, "-1"])
def test_a_number_that_no_topic_has_ends_no_account(past: Past, number: str) -> None:
    """As somebody else may have written it."""
    past.arrive(past.raw())
    strange = headers({"origin": f"0@{number}", "stage": "map", "__connect.errors.offset": number})
    told = (
        f'{{"stage":"fetch","fate":"dead","topic":"x","origin":"0@1","partition":0,"offset":{number},"until":{number}}}'
    )
    for topic in (AGAIN, PARKED, DETAILS, DEAD):
        past.cluster.put(Record(topic=topic, key=b"7", value=b"{}", headers=strange))
    for topic in (FATES, ACCESS):
        past.cluster.put(Record(topic=topic, key=b"fetch/0@1", value=told.encode()))
    assert kinds(past.account()) == {"fetched": 1}


def test_records_that_expired_before_they_were_read_are_an_alarm(past: Past) -> None:
    past.arrive(past.raw())
    past.expired = {past.cluster.topics(RAW)}
    past.stands[RAW] = {0: 0, 1: 0}
    account = past.account()
    assert (account.holds, account.expired, account.lags["fetch"].expired) == (False, 1, 1)


class TestTheBooks:
    def test_are_made_anew_when_they_are_damaged(self, past: Past) -> None:
        past.arrive(past.raw())
        past.account()
        (past.folder / "books.sqlite").write_bytes(b"\x00" * 64 + b"this is no database" * 100)
        account = past.account()
        assert kinds(account) == {"fetched": 1}
        assert "made anew" in account.notes[0]
        assert past.account().notes == ()

    def test_are_made_anew_for_another_cluster(self, past: Past) -> None:
        past.arrive(past.raw())
        past.account()
        past.identity, past.cluster = "cluster-2", Cluster()
        account = past.account()
        assert (account.pages, "another cluster" in account.notes[0]) == ({}, True)

    def test_are_made_anew_when_a_topic_ends_before_what_was_read(self, past: Past) -> None:
        for _ in range(3):
            past.arrive(past.raw())
        past.account()
        past.cluster = Cluster()
        past.arrive(past.raw())
        account = past.account()
        assert (kinds(account), len(account.notes)) == ({"fetched": 1}, 1)

    def test_are_made_anew_when_a_topic_was_made_again_and_has_grown_beyond(self, past: Past) -> None:
        past.arrive(past.raw())
        past.account()
        past.cluster = Cluster()
        past.cluster._written = 500  # noqa: SLF001  later than the first
        for _ in range(3):
            past.arrive(past.raw())
        account = past.account()
        assert (kinds(account), len(account.notes)) == ({"fetched": 3}, 1)

    def test_go_on_after_a_kill_in_the_middle(self, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was written goes with how far it was read: nothing is counted twice, nothing is left out."""
        monkeypatch.setattr("deploy.account.reading._AT_ONCE", 7)
        for _ in range(20):
            past.arrive(past.raw())
        left = 10

        def killed(received: Received) -> Iterator[tuple[str, tuple[str | int | None, ...]]]:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return of_details(received)

        with monkeypatch.context() as patched:
            patched.setattr("deploy.account.entries.of_details", killed)
            with pytest.raises(KeyboardInterrupt):
                past.account()
        account = past.account()
        assert kinds(account) == {"fetched": 20}
        assert past.read < 60
        assert account.notes == ()

    def test_that_cannot_be_written_are_a_sentence(self, past: Past) -> None:
        (past.folder / "a file").touch()
        past.folder = past.folder / "a file" / "folder"
        with pytest.raises(AccountError, match="a file"):
            past.account()

    def test_are_for_their_owner_only(self, past: Past) -> None:
        past.arrive(past.raw())
        past.account()
        assert (past.folder / "books.sqlite").stat().st_mode & 0o777 == 0o600
