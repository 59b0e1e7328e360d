"""`leadstream demo`: all of it on one machine, from a signed delivery to a decoded lead, and a replay."""

from .cli import demo as demo
