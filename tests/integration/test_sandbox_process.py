"""The sandbox's background programs: found again, ended in the right way, and never mistaken for a stranger."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.sandbox import Process

ENDS_WITH_BYE = "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done"
IGNORES_SIGTERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "program")
    yield process
    process.kill()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not come true within 60 s"
        time.sleep(0.005)


def state_of(pid: int | None) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_started_program_is_found_again_by_whoever_knows_its_folder(program: Process) -> None:
    program.start(["sleep", "60"], {})
    assert program.pid is not None
    assert Process(program.directory).pid == program.pid
    until(lambda: Path(f"/proc/{program.pid}/cmdline").read_text().startswith("sleep\0"))


def test_it_has_a_session_of_its_own_so_that_a_closed_terminal_does_not_end_it(program: Process) -> None:
    program.start(["sleep", "60"], {})
    session = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[3]
    ours = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[3]
    assert session != ours


def test_a_pid_that_the_system_gave_to_a_stranger_is_not_believed_and_not_signalled(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "pid").write_text(f"{stranger.pid}\n")
        process = Process(tmp_path)
        assert process.pid is None
        process.kill()
        assert process.stop() is False
        assert stranger.poll() is None
        stranger.kill()


def test_what_was_killed_is_gone_at_once_even_if_nobody_waits_for_it(program: Process) -> None:
    program.start(["sleep", "60"], {})
    program.kill()
    assert program.pid is None


def test_stop_lets_the_program_end_in_its_own_way(program: Process) -> None:
    program.start(["sh", "-c", ENDS_WITH_BYE], {})
    until(lambda: program.last_lines() == "ready")
    assert program.stop() is True
    assert program.last_lines() == "ready\nbye"


def test_a_program_that_does_not_stop_in_time_is_killed(program: Process) -> None:
    program.start(["sh", "-c", IGNORES_SIGTERM], {})
    until(lambda: program.last_lines() == "ready")
    assert program.stop(within=0.1) is True
    assert program.pid is None


def test_a_paused_program_hangs_until_it_is_resumed(program: Process) -> None:
    program.start(["sleep", "60"], {})
    program.pause()
    until(lambda: state_of(program.pid) == "T")
    program.resume()
    until(lambda: state_of(program.pid) == "S")


def test_a_paused_program_is_stopped_as_one_that_runs(program: Process) -> None:
    program.start(["sh", "-c", ENDS_WITH_BYE], {})
    until(lambda: program.last_lines() == "ready")
    program.pause()
    assert program.stop() is True
    assert program.last_lines() == "ready\nbye"


def test_what_it_says_is_in_its_log_and_the_log_before_is_kept(program: Process) -> None:
    program.start(["sh", "-c", "echo first; echo bad >&2"], {})
    until(lambda: program.pid is None)
    program.start(["sh", "-c", 'echo "$WORD"'], {"WORD": "second"})
    until(lambda: program.pid is None)
    assert program.last_lines() == "second"
    assert program.log.with_name("log.before").read_text() == "first\nbad\n"


def test_a_program_that_cannot_be_started_says_so_in_its_log(program: Process) -> None:
    program.start(["/no/such/program"], {})
    until(lambda: program.pid is None)
    assert "/no/such/program" in program.last_lines()


def test_a_signal_to_nothing_does_nothing(program: Process) -> None:
    program.pause()
    program.resume()
    program.kill()
    assert program.stop() is False
    assert program.last_lines() == ""


def test_the_interrupt_of_a_terminal_does_not_reach_it(program: Process) -> None:
    """^C goes to every process of the terminal's foreground group: it must not stop a sandbox that is to stay."""
    program.start(["sh", "-c", "echo ready; exec sleep 60"], {})
    until(lambda: program.last_lines() == "ready")
    ignored = int(Path(f"/proc/{program.pid}/status").read_text().partition("SigIgn:\t")[2].split()[0], 16)
    assert ignored & 1 << (signal.SIGINT - 1)
