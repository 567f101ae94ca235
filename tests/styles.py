"""A config of old style written in other ways: with objects for types, or with scopes."""

from collections.abc import Callable
from typing import Any

import mmcv.ops
import mmengine.registry
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry

import mmdet_lcp.registry


class Reference:
    """Written as a name, without quotes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def new_style(cfg: Config, changes: str = '') -> str:
    """The text of a config with every type an object, none a name, and no default scope.

    Args:
        cfg: of old style.
        changes: lines at the end.
    """
    imports: dict[str, str] = {}

    def reference(name: str) -> Reference:
        item = found(name)
        short = f'T{len(imports)}_{item.__name__}'
        short = imports.setdefault(f'{item.__module__} import {item.__name__} as', short)
        return Reference(short)

    body = replaced(cfg.to_dict(), reference)
    body['default_scope'] = None
    lines = [f'from {what} {short}' for what, short in imports.items()]
    lines += [f'{key} = {value!r}' for key, value in body.items()]
    return '\n'.join(lines) + '\n' + changes


def with_scopes(cfg: Config) -> dict[str, Any]:
    """A config whose types say which package they are of."""

    def scoped(name: str) -> str:
        if name == 'nms':
            return name
        scope = found(name).__module__.partition('.')[0]
        return name if '.' in name or scope != 'mmdet' else f'mmdet.{name}'

    return replaced(cfg.to_dict(), scoped)


def replaced(value: Any, name: Callable[[str], Any], key: str = '') -> Any:
    if isinstance(value, dict):
        return {k: replaced(item, name, k) for k, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(item, name) for item in value)
    return name(value) if key in ('type', 'runner_type') else value


def found(name: str) -> Any:
    """What a type means below mmdet's scope."""
    for registry in vars(mmdet_lcp.registry).values():
        if isinstance(registry, Registry) and name.startswith('mmdet_lcp.'):
            item = registry.module_dict.get(name.partition('.')[2])
            if item is not None:
                return item
    for registry in vars(mmengine.registry).values():
        if isinstance(registry, Registry):
            with (
                DefaultScope.overwrite_default_scope('mmdet'),
                registry.switch_scope_and_registry(None) as scoped,
            ):
                item = scoped.get(name)
            if item is not None:
                return item
    return getattr(mmcv.ops, name)
