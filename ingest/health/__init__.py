"""How healthy the access to Meta is: an examination asks, judging makes findings of the answers, each fit for a person.

`examining` is what makes calls, through whatever client it is given; `judging`, `wording` and `finding` perform no I/O.
"""

from ingest.health.examining import AsksMeta, Examination
from ingest.health.finding import Code, Finding, Severity
from ingest.health.judging import Circumstances, judge
from ingest.health.seen import AppSeen, Evidence, PageSeen, Seen
from ingest.health.wording import found

__all__ = [
    "AppSeen",
    "AsksMeta",
    "Circumstances",
    "Code",
    "Evidence",
    "Examination",
    "Finding",
    "PageSeen",
    "Seen",
    "Severity",
    "found",
    "judge",
]
