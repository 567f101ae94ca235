"""What was probably meant by a name that is not there, for messages."""

import difflib
import re
from collections.abc import Iterable

SIMILAR = 0.6
"""How alike (0 to 1) two names are of which one may be a misspelling of the other."""


def nearest_hint(
    name: object,
    known: Iterable[str],
    form: str = '; the nearest is {!r}',
    least: float = 0.0,
) -> str:
    """The known name that looks most like another one, as part of a sentence.

    Args:
        name: what was written.
        known: what might have been.
        form: the part of the sentence, with a place for the known name.
        least: how alike the two have to be, 0 to 1.

    Returns:
        An empty string if there is none.
    """
    found = difflib.get_close_matches(str(name), list(known), 1, least)
    return form.format(found[0]) if found else ''


def without_escapes(pattern: str) -> str:
    r"""A regular expression as the name that it was written for: ``^a\.b$`` is ``a.b``."""
    return re.sub(r'\\(.)|[\^$]', r'\1', pattern)
