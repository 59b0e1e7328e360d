"""Mapping files: a first one, what is wrong with one, and what it makes of real leads."""
