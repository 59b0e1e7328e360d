"""Parked records: what waits for a repair, and its way back by hand."""
