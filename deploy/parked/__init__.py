"""Parked records: what waits for a repair, and its way back by hand."""

from .cli import parked as parked
