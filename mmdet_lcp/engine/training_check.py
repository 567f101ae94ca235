"""What training needs, built once before hours of other work: optimizer wrapper and schedulers."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.optim.optimizer import amp_optimizer_wrapper as mixed
from mmengine.registry import OPTIMIZERS

from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.nearest import nearest_hint

_MIXED = 'AmpOptimWrapper'
_ASKED = ('is_cuda_available', 'is_npu_available', 'is_mlu_available', 'is_musa_available')


def check_precision(optim_wrapper: Any) -> None:
    """Refuse mixed precision on a machine that mmengine has none for.

    Args:
        optim_wrapper: a config's.

    Raises:
        CompressionError: it is `AmpOptimWrapper`, and there is no accelerator.
    """
    kind = optim_wrapper.get('type') if isinstance(optim_wrapper, Mapping) else None
    name = str(getattr(kind, '__name__', kind)).rpartition('.')[2]
    if name == _MIXED and not any(getattr(mixed, asked)() for asked in _ASKED):
        raise CompressionError(
            f'optim_wrapper.type={_MIXED!r} trains in mixed precision, which mmengine has on '
            "accelerators only, and none is found: train with optim_wrapper.type='OptimWrapper', "
            "or in bfloat16 with 'mmdet_lcp.Bfloat16OptimWrapper' (of its keys loss_scale and "
            'dtype have to go), or on a machine with a GPU'
        )


def check_optimizer(optim_wrapper: Mapping[str, Any]) -> None:
    """Refuse an optimizer that is not registered, of which mmengine says `None is not callable`.

    Args:
        optim_wrapper: a config's.

    Raises:
        CompressionError: names the nearest one.
    """
    kind = (optim_wrapper.get('optimizer') or {}).get('type')
    with OPTIMIZERS.switch_scope_and_registry(None) as registry:
        if isinstance(kind, str) and registry.get(kind) is None:
            names = [*registry.module_dict, *registry.root.module_dict]
            raise CompressionError(
                f'type={kind!r} is no optimizer that is registered{nearest_hint(kind, names)}'
            )


@contextlib.contextmanager
def built_from(key: str) -> Iterator[None]:
    """Name the config's key that something could not be built from.

    Raises:
        CompressionError: instead of any other error.
    """
    try:
        with types_told():
            yield
    except CompressionError as error:
        raise CompressionError(f'`{key}`: {error}') from error
    except Exception as error:  # an optimizer of anybody's: it fails wherever it likes
        raise CompressionError(
            f'`{key}` cannot be built: {type(error).__name__}: {error}'
        ) from error
