"""Sending one POST, and the account on disk of the leads whose POST was answered 200."""

from pathlib import Path

import aiohttp

from deploy.sandbox.graph.journal import Journal


async def send_post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> tuple[str, str]:
    """Send one POST: the status as text, or `timeout` or `connection`; and the text of the answer."""
    try:
        async with session.post(url, data=body, headers=headers) as response:
            return str(response.status), await response.text(errors="replace")
    except TimeoutError:
        return "timeout", ""
    except (aiohttp.ClientError, OSError):
        return "connection", ""


class Acknowledged:
    """The leads whose announcement was answered 200, on disk before anyone is told."""

    def __init__(self, directory: Path) -> None:
        self._journal = Journal(directory / "acknowledged.txt")
        self.leads = {int(lead) for line in self._journal.lines() for lead in line.split()}

    def add(self, leads: list[str]) -> None:
        """Note the leads of one POST."""
        self._journal.append(" ".join(leads))
        self.leads.update(map(int, leads))

    def clear(self) -> None:
        """Forget all."""
        self._journal.empty()
        self.leads.clear()

    def close(self) -> None:
        """Close the file."""
        self._journal.close()
