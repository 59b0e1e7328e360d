"""Brings files from a Maven repository by its ordinary clients: `mvn` where it is on the PATH, else `jgo`.

What they bring is not believed here: the caller holds it to its lock. Without `MAVEN_REPOSITORY_URL` each client asks
where it always asks, as its own settings say; with it, nothing but that repository is asked.
"""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from rich.filesize import decimal

from .errors import SandboxError
from .progress import Progress

_ONE_MIRROR = """\
<settings>
  <mirrors><mirror><id>leadstream</id><mirrorOf>*</mirrorOf><url>{}</url></mirror></mirrors>
</settings>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SHOWN = 3  # errors; those that follow are advice about Maven itself
_PATIENCE = 60  # seconds that a repository may be silent


class DiskFull(Exception):
    """There was no room for what was to be written."""


def download(files: list[PurePosixPath], pom: Path, into: Path, progress: Progress) -> None:
    """Put the files, named by their path in Maven's layout, into a folder side by side.

    SandboxError says what could not be had. DiskFull is for the caller, who knows what was to go where; so is OSError.
    """
    repository = os.environ.get("MAVEN_REPOSITORY_URL")
    part = pom.name.partition(".")[0]
    if mvn := shutil.which("mvn"):
        _by_mvn(mvn, pom, into, repository, lambda text: progress.moment(f"{part}: {text}"))
    else:
        _by_jgo(files, into, repository, lambda text: progress.moment(f"{part}: {text}"))


def _by_mvn(mvn: str, pom: Path, into: Path, repository: str | None, moment: Callable[[str], None]) -> None:
    # -U: else Maven remembers for a day what it could not download.
    goal = ("-B", "-U", _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={into}")
    said: deque[str] = deque(maxlen=30)
    with (
        _settings(repository) as settings,
        subprocess.Popen(  # noqa: S603  found on the PATH
            [mvn, "-f", str(pom), *settings, *goal],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as running,
    ):
        for line in running.stdout or ():
            said.append(line)
            if "Downloading from" in line:
                moment(f"Maven is downloading {line.rstrip().rpartition('/')[2]}")
    if running.returncode:
        errors = [line for line in said if line.startswith("[ERROR] ") and line.removeprefix("[ERROR] ").strip()]
        output = "".join(errors[:_SHOWN] or said)
        if "No space left on device" in output:
            raise DiskFull
        raise SandboxError(
            f"{output}\nMaven could not bring what {pom.name} asks for; its last words are above. Look at the network"
            " and at the repository it asks (MAVEN_REPOSITORY_URL, else Maven's own settings), and run this again."
        )


@contextmanager
def _settings(repository: str | None) -> Iterator[list[str]]:
    if repository is None:
        yield []
        return
    with TemporaryDirectory() as directory:
        settings = Path(directory, "settings.xml")
        settings.write_text(_ONE_MIRROR.format(escape(repository)), encoding="utf-8")
        yield ["-s", str(settings)]


def _by_jgo(files: list[PurePosixPath], into: Path, repository: str | None, moment: Callable[[str], None]) -> None:
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415  an extra: Maven serves as well
    except ImportError:
        raise SandboxError(
            "Neither mvn nor jgo is there to download with: pip install 'leadstream[sandbox]' brings jgo."
        ) from None

    @contextmanager
    def told(name: str, size: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def more(count: int) -> None:
            nonlocal done
            done += count
            moment(f"downloading {name}, {decimal(done)} of {decimal(size)}")

        yield more

    with TemporaryDirectory(dir=into.parent) as partial:
        remote = None if repository is None else {"central": repository.rstrip("/")}
        resolver = PythonResolver(progress_callback=told)
        context = MavenContext(resolver, repo_cache=Path(partial), remote_repos=remote, timeout=_PATIENCE)
        for file in files:
            *group, artifact, version, name = file.parts
            classifier, _, packaging = name.removeprefix(f"{artifact}-{version}").removeprefix("-").partition(".")
            component = context.project(".".join(group), artifact).at_version(version)
            try:
                found = component.artifact(classifier, packaging).resolve()
            except RuntimeError as error:  # what jgo makes of an answer other than 200
                raise _unreachable(file, error) from None  # its text quotes the repository's address, log-in and all
            except OSError as error:
                if error.errno is not None:
                    raise
                raise _unreachable(file, error) from None  # the HTTP client's errors are OSErrors without a number
            Path(found).rename(into / file.name)


def _unreachable(file: PurePosixPath, error: Exception) -> SandboxError:
    why = "the repository does not give it" if isinstance(error, RuntimeError) else type(error).__name__
    return SandboxError(
        f"{file.name} could not be downloaded ({why}): look at the network and at the repository"
        " (MAVEN_REPOSITORY_URL, if it is set), and run this again."
    )
