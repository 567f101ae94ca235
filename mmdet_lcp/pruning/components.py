"""Criterion, update and settings of a Python call: objects, or what they are made of."""

import warnings
from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from mmdet_lcp.config.keys import build, parse
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.criteria import DCP, LCP, Criterion, L1Norm
from mmdet_lcp.pruning.updates import ExactUpdate, Update
from mmdet_lcp.registry import CRITERIA, UPDATES


def criterion_of(given: Any) -> Criterion | None:
    """A criterion from an object, a class, a config dict or a registered name.

    Warns that LCP and DCP have no auxiliary network in a Python call.

    Raises:
        CompressionError: it is none of these, or looks at the auxiliary network alone.
    """
    found = _component(given, Criterion, CRITERIA, 'criterion', L1Norm)
    if isinstance(found, (LCP, DCP)):
        name = type(found).__name__
        if isinstance(found, LCP) and found.reference == 'full':
            raise CompressionError(
                "criterion: LCP with reference='full' needs its auxiliary network, and a Python "
                "call trains none: take reference='selected', or a run from a config"
            )
        warnings.warn(
            f'{name} scores channels by the reconstruction error (and terms of `objective`) '
            'alone here: its auxiliary network is trained in runs from a config only',
            stacklevel=4,
        )
    return found


def update_of(given: Any) -> Update | None:
    """An update from an object, a class, a config dict or a registered name.

    Raises:
        CompressionError: it is none of these.
    """
    return _component(given, Update, UPDATES, 'update', ExactUpdate)


def settings(kind: type, given: Any, where: str) -> Any:
    """Settings from an object or a dict, checked; without any the default ones.

    Raises:
        CompressionError: they are neither, or a value is out of range.
    """
    found = (
        given if isinstance(given, kind) else parse(kind, {} if given is None else given, where)
    )
    if hasattr(found, 'check'):
        found.check(where)
    return found


def _component(
    given: Any, kind: type, registry: Registry, argument: str, example: type
) -> Any | None:
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, str) or (isinstance(given, type) and issubclass(given, kind)):
        made_of = given and {'type': given}
    else:
        made_of = given if isinstance(given, Mapping) and given.get('type') else None
    if not made_of:
        raise CompressionError(
            f'{argument}={given!r} must be a name such as {example.__name__!r}, a dict such as '
            f'dict(type={example.__name__!r}), or an object such as {example.__name__}()'
        )
    found = build(registry, made_of, argument)
    if not isinstance(found, kind):
        raise CompressionError(f'{argument}={given!r} is no {kind.__name__}')
    return found
