"""How healthy the access to Meta is: an examination asks, judging makes findings of the answers, each fit for a person.

`examining` is what makes calls, through whatever client it is given; `judging`, `wording` and `finding` perform no I/O.
"""

from ingest.health.examining import AsksMeta, Examination
from ingest.health.finding import OF_ALL, Code, Finding, Severity
from ingest.health.judging import Circumstances, judge
from ingest.health.seen import AppSeen, Evidence, PageSeen, Seen, is_no_answer
from ingest.health.wording import found

__all__ = [
    "OF_ALL",
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
    "is_no_answer",
    "judge",
]
