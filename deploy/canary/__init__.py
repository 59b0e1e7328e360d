"""The canary: a test lead that Meta makes, followed from the door to leads.v1, by hand or on a schedule."""

from .watching import watch as watch
