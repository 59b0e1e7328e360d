"""The outside world on one machine: Kafka, a schema registry and a double of Meta's Graph API.

It needs no container, no system Java and no Meta account.
"""

from .errors import SandboxError as SandboxError
from .part import PartName as PartName
from .ports import FREE_PORTS as FREE_PORTS
from .process import Process as Process
from .progress import Progress as Progress
from .progress import Silent as Silent
from .sandbox import PartStatus as PartStatus
from .sandbox import Sandbox as Sandbox
from .sandbox import default_home as default_home
from .theirs import given_by_settings as given_by_settings
