"""Property tests try a little by default, and a lot when the whole suite runs (`HYPOTHESIS_PROFILE=thorough`)."""

import gc
import os
import signal

from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=15)  # a busy machine is no failure
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# A shell starts what runs in the background with SIGINT ignored, and so would be all that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported is left out of later collections: those look for what a test left open, and are many."""
    gc.freeze()
