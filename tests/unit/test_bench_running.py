"""What a program costs is what its whole tree costs, and when it is ended nothing of the tree is left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.running import Broken, Command, Running, tree
from tests.programs import eventually

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the bench runs on Linux only")
_BUSY = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"


@contextmanager
def running(script: str, folder: Path) -> Iterator[Running]:
    with Running(Command(arguments=("sh", "-c", script)), folder / "log") as program:
        yield program


def test_a_childs_work_is_counted_while_it_runs_and_when_it_has_ended(tmp_path: Path) -> None:
    child = f"sh -c '{_BUSY}; echo worked; read -r _ <fifo' <>fifo"
    with running(f"mkfifo fifo; {child} & echo; wait; echo ended; exec sleep 60", tmp_path) as program:
        program.wait_until(lambda: "worked" in program.last_lines(), "its child worked")
        working = program.cpu_seconds()
        (tmp_path / "fifo").write_text("end\n")
        program.wait_until(lambda: "ended" in program.last_lines(), "its child ended")
        assert 0 < working <= program.cpu_seconds()


def test_only_the_measured_stretch_counts(tmp_path: Path) -> None:
    with running(f"{_BUSY}; echo worked; exec sleep 60", tmp_path) as program:
        program.wait_until(lambda: "worked" in program.last_lines(), "it worked")
        with program.measured() as used:
            assert program.cpu_seconds() > 0
        assert used.cpu_seconds == 0
        assert 0 < used.seconds < 60


def test_the_whole_tree_is_gone_when_it_is_stopped(tmp_path: Path) -> None:
    with running("sleep 60 & sleep 60 & echo up; wait", tmp_path) as program:
        program.wait_until(lambda: "up" in program.last_lines(), "it is up")
        pids = tree(program.pid)
        assert len(pids) == 3
    eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), 10, "nobody of it is left")


def test_a_paused_program_stands_still_with_its_children_and_then_goes_on(tmp_path: Path) -> None:
    def stopped(program: Running) -> list[bool]:
        return [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T") for pid in tree(program.pid)]

    with running("sleep 60 & echo up; wait", tmp_path) as program:
        program.wait_until(lambda: "up" in program.last_lines(), "it is up")
        with program.paused():
            eventually(lambda: stopped(program) == [True, True], 10, "both stand still")
        eventually(lambda: stopped(program) == [False, False], 10, "both go on")


def test_memory_is_that_of_all_processes(tmp_path: Path) -> None:
    holding = f"{sys.executable} -c 'a = bytearray(30_000_000); print(len(a), flush=True); input()'"
    with running(f"mkfifo fifo; {holding} <>fifo & {holding} <>fifo; wait", tmp_path) as program:
        program.wait_until(lambda: program.last_lines().count("30000000") == 2, "both hold it")
        assert program.peak_memory() > 60_000_000


def test_a_program_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with running("echo no port is free; exit 3", tmp_path) as program, pytest.raises(Broken, match="no port is free"):
        program.wait_until(lambda: False, "listening")


def test_one_that_does_not_get_there_in_time_is_told_too(tmp_path: Path) -> None:
    with running("exec sleep 60", tmp_path) as program, pytest.raises(Broken, match="not within 0 s: listening"):
        program.wait_until(lambda: False, "listening", seconds=0.05)
