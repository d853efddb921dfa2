"""The one exception that a user may see."""


class UserError(Exception):
    """Something that the user can mend: the message names file, key and remedy in one line."""
