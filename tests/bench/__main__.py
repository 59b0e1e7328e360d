"""`python -m tests.bench`: the suites named, or all; their results beside those of suites that were run before."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.sandbox.errors import SandboxError

from . import door, enrichment, journey, mapping, scale
from .chart import as_svg
from .contender import Unavailable
from .machine import machine
from .results import Document, as_markdown, chapter
from .rounds import Absent, Row
from .suite import Options, Suite
from .world import World

SUITES: tuple[Suite, ...] = (door.SUITE, enrichment.SUITE, mapping.SUITE, journey.SUITE, scale.SUITE)
FOLDER = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := set(asked.suite) - {suite.name for suite in SUITES}:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}")
    if not Path("/proc/self/stat").exists():
        sys.stderr.write("The bench reads CPU time and memory from /proc: run it on Linux.\n")
        return 2
    options = Options(
        rounds=asked.rounds or (1 if asked.quick else 3),
        quick=asked.quick,
        only=frozenset(filter(None, asked.only.split(","))),
    )
    chosen = [suite for suite in SUITES if not asked.suite or suite.name in asked.suite]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else what was started would outlive us
    out = asked.out or (Path(tempfile.gettempdir(), "leadstream-bench") if asked.quick else FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="leadstream-bench-", ignore_cleanup_errors=True) as folder:
        for suite in chosen:
            try:
                _run(suite, Path(folder, suite.name), options, out)
            except (Unavailable, SandboxError) as reason:
                _say(f"{suite.name}: cannot be run: {reason}")
                failed = True
    _say(f"the tables are in {out / 'RESULTS.md'}")
    return int(failed)


def _run(suite: Suite, folder: Path, options: Options, out: Path) -> None:
    """A world for each suite; what it found is written when it is done, so that a later one's failure costs nothing."""
    folder.mkdir()
    rows = []
    _say(f"{suite.name}: {options.rounds} round{'s' * (options.rounds > 1)}")
    with World(folder, _say, suite.needs) as world:
        for row in suite.run(world, options):
            rows.append(row)
            _say(f"{suite.name}: {_told(row)}")
    results = out / "results.json"
    document: Document = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    document[suite.name] = chapter(suite, rows, machine=machine(), rounds=options.rounds)
    document = {each.name: document[each.name] for each in SUITES if each.name in document}
    results.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "RESULTS.md").write_text(as_markdown(document), encoding="utf-8")
    if drawn := as_svg(document[suite.name]):
        (out / f"chart-{suite.name}.svg").write_text(drawn, encoding="utf-8")


def _told(row: Row) -> str:
    """A row as it comes, in the measured units."""
    if isinstance(row, Absent):
        return f"{row.case or 'all cases'}: {row.by.name}: not raced: {row.why}"
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.figures.items())
    return f"{row.case}: round {row.round}: {row.by.name}: {figures}"


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(suite.name for suite in SUITES)}; else all of them")
    parser.add_argument("--rounds", type=int, default=0, help="of each case; 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer cases, shorter: to see that all of it works")
    parser.add_argument("--only", default="", help="comma-separated keys of contenders; ours is always raced")
    parser.add_argument("--out", type=Path, help="where RESULTS.md, results.json and charts go; else beside this file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
