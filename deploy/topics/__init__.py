"""Topics and schemas: as declared, as they are, and made so."""

from .cluster import ClusterError as ClusterError
from .cluster import admin_client as admin_client
from .declared import apply as apply
from .declared import plan as plan
