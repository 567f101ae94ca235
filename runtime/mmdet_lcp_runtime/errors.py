"""The errors that a user can mend."""


class DetectionError(ValueError):
    """A file, an image or an installation is not as needed; the message says what to do."""
