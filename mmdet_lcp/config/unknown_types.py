"""What a config asks to build and cannot be built, in one line instead of a traceback.

mmengine builds hooks, transforms, metrics, backbones and all else by name, from deep inside.
"""

import contextlib
import re
import traceback
from collections.abc import Iterator

import mmengine.registry
from mmengine.registry import DefaultScope, Registry

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import SIMILAR, nearest_hint

_BUILD = 'build_from_cfg'
_UNKNOWN = re.compile(r'([\w.]+) is not in the (\w+)::([\w ]+) registry')
_KEY = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r'([\w.]+)\(\) missing \d+ required .*argument.*: (.*)')


@contextlib.contextmanager
def types_told() -> Iterator[None]:
    """Name what is not registered, or what a type does not take.

    Raises:
        CompressionError: instead of mmengine's KeyError, or Python's TypeError.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        told = _told(error)
        if told is None:
            raise
        raise CompressionError(told) from error


def _told(error: Exception) -> str | None:
    """The error in the user's words; ``None`` if it is no such error."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or frames[-1].name not in (_BUILD, '__init__'):
        return None
    text = str(error.args[0]) if error.args else ''
    if isinstance(error, KeyError):
        found = _UNKNOWN.search(text)
        if found is None:
            return None
        name, scope, kind = found.groups()
        package, _, own = name.rpartition('.')
        near = nearest_hint(own, _names(kind, package), least=SIMILAR)
        return (
            f'the config names the {kind} type={name!r}, which is not registered in {scope}'
            f'{near}. One of your own is registered when the config imports its module: '
            "custom_imports = dict(imports=['my_module'])"
        )
    if not any(frame.name == _BUILD for frame in frames):
        return None
    key, missing = _KEY.search(text), _MISSING.search(text)
    found = key or missing
    if found is None or not (frames[-1].name == _BUILD or found[1].endswith('__init__')):
        return None
    told = f'the config gives type={found[1].removesuffix(".__init__")!r}'
    if key:
        return f'{told} the key {found[2]!r}, which it does not take'
    return f'{told} too few keys; missing: {found[2]}'


def _names(kind: str, package: str) -> list[str]:
    """What registries of a kind know: mmengine's, the default scope's and a package's."""
    scope = DefaultScope.get_current_instance()
    scopes = (scope.scope_name if scope else None, package)
    names: list[str] = []
    for registry in vars(mmengine.registry).values():
        if isinstance(registry, Registry):
            below = [registry.children[name] for name in scopes if name in registry.children]
            if kind in (found.name for found in (registry, *below)):
                names += [name for found in (registry, *below) for name in found.module_dict]
    return names
