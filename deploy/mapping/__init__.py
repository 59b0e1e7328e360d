"""`leadstream mapping`: mapping files, from a first one to the one that goes live."""

from deploy.mapping.cli import mapping

__all__ = ["mapping"]
