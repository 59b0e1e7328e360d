"""Reconciliation: every lead that Meta has is here, or it is said why not, by hand or on a schedule."""

from .cli import reconcile as reconcile
from .watching import watch as watch
