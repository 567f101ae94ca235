"""The API reference: all that it lists is documented, parameter by parameter."""

import dataclasses
import importlib
import inspect
import re
from pathlib import Path

import pytest

import mmdet_lcp

PAGE = Path(__file__).parents[1] / 'docs' / 'api.md'
LISTED = re.findall(r'^\.\. auto(\w+):: (\S+)$', PAGE.read_text(), re.M)


def objects() -> dict[str, object]:
    """Functions and classes by their path; those of a listed module too."""
    found = {}
    for kind, path in LISTED:
        if kind == 'module':
            module = importlib.import_module(path)
            for name, value in vars(module).items():
                public = not name.startswith('_') and getattr(value, '__module__', '') == path
                if public and (inspect.isclass(value) or inspect.isfunction(value)):
                    found[f'{path}.{name}'] = value
        else:
            module, name = path.rsplit('.', 1)
            found[path] = getattr(importlib.import_module(module), name)
    return found


OBJECTS = objects()


def test_what_the_package_exports_is_listed():
    listed = {id(value) for value in OBJECTS.values()}
    exported = {
        name: getattr(mmdet_lcp, name)
        for name in mmdet_lcp.__all__
        if inspect.isclass(getattr(mmdet_lcp, name))
        or inspect.isfunction(getattr(mmdet_lcp, name))
    }
    assert not [name for name, value in exported.items() if id(value) not in listed]


@pytest.mark.parametrize('path', OBJECTS)
def test_every_parameter_is_documented(path):
    found = OBJECTS[path]
    text = inspect.getdoc(found) or ''
    assert text, path
    if (inspect.isclass(found) and '__init__' in vars(found)) or not inspect.isclass(found):
        signature = inspect.signature(found)
        wanted = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    elif dataclasses.is_dataclass(found):
        wanted = [field.name for field in dataclasses.fields(found)]
    else:
        wanted = []
    missing = [name for name in wanted if not re.search(rf'^ +{name}\b.*:', text, re.M)]
    assert not missing, f'{path}: {missing}'
