"""Kafka Connect for the CRM topics: a sink's configuration, and a supervisor that restarts what has failed."""

from .watching import watch as watch
