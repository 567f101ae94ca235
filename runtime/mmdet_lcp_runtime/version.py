"""The version of this package, and of the description of files that it reads."""

__version__ = '0.2.0'
FORMAT = 1  # the newest `format` of a file's description that is understood
