"""What is raised where settings cannot be used, apart from them: to catch it takes none of their libraries."""


class SettingsError(Exception):
    """The environment cannot be used as it is; the text says which variable, and what it should hold."""
