"""The exception for faults that a user can mend."""


class UserError(Exception):
    """A fault that the user can mend. The message names file, key and remedy in one line."""
