"""The outside world on one machine: Kafka, a schema registry and a double of Meta's Graph API.

It needs no container, no system Java and no Meta account.
"""

from .errors import SandboxError as SandboxError
from .part import FREE_PORTS as FREE_PORTS
from .part import PartName as PartName
from .sandbox import PartStatus as PartStatus
from .sandbox import Sandbox as Sandbox
