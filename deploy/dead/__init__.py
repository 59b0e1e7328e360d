"""Dead letters: what lies there, and the way back."""

from .cli import dead as dead
