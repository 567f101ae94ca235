"""Why somebody else's detector fails, in words that a user understands."""

import importlib.util
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from mmdet_lcp.errors import CompressionError

NO_CPU = re.compile(r'(\w+?)(?:_impl)?: implementation for device cpu not found')
NO_PACKAGE = re.compile(
    r"No module named '([\w.]+)'|(?:^|\s)([\w-]+) is not installed"
    r'|[Pp]lease run "pip install (?:-U )?([\w-]+)'
)
FROM = re.compile(r'pip install (?:-U )?([\w.:/+-]+)')
NOT_REGISTERED = re.compile(r'(mm\w+)\.(\w+) is not in the')
# Names under which packages are installed, where they are imported under others, or where mmdet
# misspells one in its message.
INSTALLED = {'skimage': 'scikit-image', 'sklearn': 'scikit-learn', 'sscikit-learn': 'scikit-learn'}
LONGEST = 300  # characters


def in_words(error: BaseException) -> str:
    """What went wrong: a missing operator or package by its name, else the error's own words.

    Args:
        error: with the errors that it came from.
    """
    for each in _chain(error):
        if isinstance(each, CompressionError):  # in words already
            continue
        text = ' '.join(str(each).split())
        if found := NO_CPU.search(text):
            return f"mmcv's operator {found[1]} runs on GPUs only: try it where there is one"
        if found := NO_PACKAGE.search(text):
            module = next(part for part in found.groups() if part)
            name = module.partition('.')[0]
            if module != name and importlib.util.find_spec(name) is not None:
                return f'it needs {module}, which the installed {name} does not have'
            told = FROM.search(text)
            source = told[1].rstrip('."') if told else INSTALLED.get(name, name)
            return f'it needs the package {name}, which is not installed: pip install {source}'
        if found := NOT_REGISTERED.search(text):
            return (
                f'it needs {found[2]} of the package {found[1]}, which is not installed or not '
                f"imported: custom_imports = dict(imports=['{found[1]}.models'])"
            )
    text = ' '.join(str(error).split())
    if isinstance(error, AttributeError | KeyError | NotImplementedError | AssertionError):
        text = f'{type(error).__name__}: {text}'
    if not str(error):
        text = f'{type(error).__name__}{_place(error)}'
    return text[:LONGEST]


def _place(error: BaseException) -> str:
    """Where an error without words comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f' in {frames[-1].name} of {Path(frames[-1].filename).name}' if frames else ''


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__
