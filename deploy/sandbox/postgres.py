"""PostgreSQL from the binaries that pip brings, for what sinks write.

PostgreSQL refuses to run as root, and is then run as `nobody`: who owns the data folder, and nothing else.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import quote

from .errors import SandboxError
from .part import Command, PartName
from .ports import PortName, Ports
from .progress import Progress

USER = "leadstream"
DATABASE = "postgres"

_BORN_IN = 'cd "$0" && exec "$@"'
# A name for the data folder that `nobody` can follow, where the path to it leads through folders only root may enter.
_WHERE_IT_WAS_BORN = "/proc/self/cwd"
_ROOT = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """The server on `postgres`; `directory` is its own, with its data and the password of its only user."""

    ports: Ports
    directory: Path
    name: PartName = "postgres"
    listens: tuple[PortName, ...] = ("postgres",)
    needs: tuple[PartName, ...] = ()

    @property
    def where(self) -> str:
        return f"postgresql://127.0.0.1:{self.ports['postgres']}/{DATABASE}"

    @property
    def password_file(self) -> Path:
        """Only for the user's eyes, alone in its folder; its whole content is the password."""
        return self.directory / "secrets" / "password"

    @property
    def url(self) -> str:
        """The address with user and password, for clients. The password is there once it was prepared."""
        password = quote(self.password_file.read_text(), safe="")
        return self.where.replace("://", f"://{USER}:{password}@", 1)

    def prepare(self, directory: Path, progress: Progress) -> Command:
        data = directory / "data"
        if not (data / "PG_VERSION").exists():
            progress.moment("postgres: making its data folder")
            self._make(data)
        # It is not running, or this would not be called; but the pid in there may be a stranger's by now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.ports["postgres"]),
            "unix_socket_directories": "",
            "log_checkpoints": "off",
        }
        options = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return Command(arguments=_on_data(data, "postgres", *options))

    def answers(self) -> bool:
        if not self.password_file.exists():
            return False
        asked = subprocess.run(  # noqa: S603  PostgreSQL's own client
            [_program("psql"), "--no-psqlrc", "--quiet", "--command", "select 1", self.where],
            env={**os.environ, "PGUSER": USER, "PGPASSWORD": self.password_file.read_text(), "PGCONNECT_TIMEOUT": "2"},
            capture_output=True,
            check=False,
        )
        return asked.returncode == 0

    def _make(self, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)  # what a killed attempt left
        password = secrets.token_urlsafe(24)
        self.password_file.parent.mkdir(mode=0o700, exist_ok=True)
        self.password_file.unlink(missing_ok=True)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)
        data.mkdir(mode=0o700)
        with NamedTemporaryFile("w") as told:
            told.write(password)
            told.flush()
            if os.geteuid() == _ROOT:
                shutil.chown(data, "nobody")
                shutil.chown(told.name, "nobody")
            how = ("--username", USER, "--auth", "scram-sha-256", "--pwfile", told.name)
            done = subprocess.run(  # noqa: S603  PostgreSQL's own program
                _on_data(data, "initdb", *how, "--encoding", "UTF8", "--locale", "C", "--no-instructions"),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise SandboxError(
                f"{done.stdout}{done.stderr}\nPostgreSQL could not make its data folder {data} for the reason above."
                f" Where the sandbox is run as root, `nobody` must be able to run {_program('initdb')}: install"
                " leadstream where everyone may read it, or run the sandbox as another user."
            )


def _on_data(data: Path, program: str, *arguments: str) -> tuple[str, ...]:
    if os.geteuid() != _ROOT:
        return (_program(program), "-D", str(data), *arguments)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SandboxError(
            "PostgreSQL does not run as root, and setpriv (of util-linux) is not there to run it as another user:"
            " run the sandbox as one who is not root."
        )
    nobody = pwd.getpwnam("nobody")
    as_nobody = (setpriv, f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    return ("sh", "-c", _BORN_IN, str(data), *as_nobody, _program(program), "-D", _WHERE_IT_WAS_BORN, *arguments)


def _program(name: str) -> str:
    found = find_spec("pgserver")  # not imported: that would start things of its own
    if found is None or found.origin is None:
        raise SandboxError("PostgreSQL was not found: pip install 'leadstream[sandbox]' brings it.")
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)
