"""`leadstream doctor`: what is wrong with tokens, permissions, subscriptions and versions, and what to do about it."""

from .cli import doctor

__all__ = ["doctor"]
