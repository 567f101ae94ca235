"""The errors that a user can mend: the tools print them without a traceback."""


class CompressionError(ValueError):
    """Something in the user's config, data or files is wrong; the message says what to do."""
