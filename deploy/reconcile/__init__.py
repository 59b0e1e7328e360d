"""Reconciliation: every lead that Meta has is here, or it is said why not, by hand or on a schedule."""

from .watching import watch as watch
