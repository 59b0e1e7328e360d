"""What can go wrong with the sandbox: one error, for all its callers do the same with it - show its text and end.

The text is whole sentences: what is wrong, and what to do next.
"""


class SandboxError(Exception):
    """The sandbox cannot go on; the text says why and what to do next."""
