"""`leadstream import`: leads from files, and from Meta's export of a form."""

from .cli import import_leads as import_leads
