"""Replays: a worker reads again what it has read before."""

from .offsets import Move as Move
from .offsets import Plan as Plan
from .offsets import ReplayRefused as ReplayRefused
from .offsets import Target as Target
from .offsets import apply as apply
from .offsets import plan as plan
