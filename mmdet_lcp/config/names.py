"""Configs that hold classes and functions, as configs that hold their names.

A new-style config of mmengine (``with read_base():``) gives objects as types. They cannot be
written into a file that stands alone, and their addresses differ from process to process; a name
can be written, compared and looked up again. A name that code compares with (``'Pretrained'``,
``'nms'``) is the one that is registered, so that one comes first, and the import path second.
"""

import functools
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import mmcv.ops
import mmengine.registry
import torch
from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.registry import DefaultScope, Registry
from mmengine.utils import get_object_from_string

import mmdet_lcp.registry
from mmdet_lcp.compat.mmengine import lazy_data
from mmdet_lcp.errors import CompressionError

_LAZY = (LazyObject, LazyAttr)
_NAMED = (type, FunctionType, BuiltinFunctionType, MethodType, functools.partial)
# What these register is there as soon as a detector is built; a user's module has to be imported.
_PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'torch', mmdet_lcp.registry.SCOPE)
_DEFAULT_SCOPE = 'mmdet'


def named_config(cfg: Config) -> Config:
    """The same config with names in the place of objects; one without objects is left as it is.

    Args:
        cfg: of either style.

    Raises:
        CompressionError: an object has no name, such as a lambda; says where it stands.
    """
    helpers = (FunctionType, ModuleType)  # that a config defines and uses itself
    given = lazy_data(cfg)  # without what a new-style config imports
    data = {key: value for key, value in given.items() if not isinstance(value, helpers)}
    if not any(isinstance(leaf, (*_LAZY, *_NAMED, torch.dtype)) for leaf in _leaves(data)):
        return cfg
    if data.get('default_scope', '') is None:  # objects need no scope, names do
        data['default_scope'] = _DEFAULT_SCOPE
    data = _Names(data.get('default_scope', 'mmengine')).of(data, '')
    return Config(data, cfg_text=cfg.text or ' ', filename=cfg.filename)


def names_in(data: Mapping[str, Any], scope: str = _DEFAULT_SCOPE) -> dict[str, Any]:
    """A part of a config, likewise.

    Args:
        data: such as a `model`.
        scope: the default scope that it is built under.
    """
    return _Names(scope).of(data, '')


def object_named(name: str) -> Any:
    """What an import path names; ``None`` if it names nothing."""
    try:
        return get_object_from_string(name) if '.' in name else None
    except (ImportError, ValueError):
        return None


class _Names:
    """Finds names of objects.

    Args:
        scope: the default scope that the config is built under.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._known: dict[int, list[tuple[Registry, str]]] = {}
        for registry in _registries():
            for name, item in registry.module_dict.items():
                self._known.setdefault(id(item), []).append((registry, name))

    def of(self, value: Any, where: str) -> Any:
        """A value with names in it; ``where`` is its key."""
        if isinstance(value, Mapping):
            above = f'{where}.' if where else ''
            items = dict.items(value) if isinstance(value, dict) else value.items()
            return {key: self.of(item, f'{above}{key}') for key, item in items}
        if isinstance(value, (list, tuple)):
            return type(value)(self.of(v, f'{where}[{n}]') for n, v in enumerate(value))
        imported = ''
        if isinstance(value, _LAZY):
            imported = f'{value.module}.{value}'
            try:
                value = value.build()
            except ImportError as error:
                raise CompressionError(f'{where} cannot be imported: {error}') from error
        if isinstance(value, torch.dtype):
            return str(value).removeprefix('torch.')
        return self._name(value, imported, where) if isinstance(value, _NAMED) else value

    def _name(self, item: Any, imported: str, where: str) -> str:
        path = f'{getattr(item, "__module__", "")}.{getattr(item, "__qualname__", "")}'
        if path.partition('.')[0] in _PACKAGES:
            for registry, name in self._known.get(id(item), ()):
                for found in (name, f'{registry.scope}.{name}'):
                    if self._means(registry, found, item):
                        return found
            name = getattr(item, '__name__', '')
            if getattr(mmcv.ops, name, None) is item:  # mmcv looks its operators up by name
                return name
        for found in (path, imported):
            if object_named(found) is item:
                return found
        raise CompressionError(
            f'{where}={item!r} cannot be written into a config file: it has no name that can be '
            'imported. Define it at the top of a module, or register it and give its name'
        )

    def _means(self, registry: Registry, name: str, item: Any) -> bool:
        """Whether a name leads to an object where it is built."""
        root = registry.root
        if root.scope == mmdet_lcp.registry.SCOPE:  # a registry of ours alone
            return name.startswith(f'{root.scope}.')
        try:
            with (
                DefaultScope.overwrite_default_scope(self._scope),
                root.switch_scope_and_registry(None) as scoped,
            ):
                return scoped.get(name) is item
        except RuntimeError:  # mmengine's word for a name that leads nowhere
            return False


def _registries() -> Iterator[Registry]:
    """Every registry there is, below mmengine's and of this package."""
    for module in (mmengine.registry, mmdet_lcp.registry):
        for found in vars(module).values():
            if isinstance(found, Registry) and found.parent is None:
                yield from _tree(found)


def _tree(registry: Registry) -> Iterator[Registry]:
    yield registry
    for child in registry.children.values():
        yield from _tree(child)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in dict.values(value) if isinstance(value, dict) else value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
