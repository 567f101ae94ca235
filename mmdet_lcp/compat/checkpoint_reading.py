"""mmengine: its checkpoints, with torch's check of pickled classes left on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pickle import UnpicklingError

import numpy as np
import torch


def torch_load_weights_only() -> None:
    """Let torch read mmengine's checkpoints with its check of pickled classes left on.

    Since torch 2.6 ``torch.load`` takes ``weights_only=True`` unless told otherwise, mmengine
    0.10 does not tell, and its checkpoints hold the training log (``HistoryBuffer``), NumPy
    numbers and, with a one-cycle schedule, a static method
    (open-mmlab/mmengine #1655: ``Weights only load failed``). Exactly those names are allowed,
    under the module paths of NumPy 1 and NumPy 2 alike, so that old checkpoints stay readable.
    Two of them do less than their name says: ``builtins.getattr``, which pickle writes for the
    functions of a class, looks up a closed list, and ``numpy.dtype`` makes numeric types only,
    because an array of objects over a buffer is a way to forge pointers.
    Before torch 2.6 there is nothing to do.
    """
    if torch_version() < (2, 6):
        return
    torch.serialization.add_safe_globals(_checkpoint_globals())


def torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split('.')[:2]
    return int(major), int(minor)


@functools.cache
def _checkpoint_globals() -> tuple[Callable | tuple[Callable, str], ...]:
    """What mmengine's checkpoints may name: classes, or pairs (callable, pickled name)."""
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    array = np.zeros(1)
    multiarray = {'_reconstruct': _rebuild_array, 'scalar': array[0].__reduce__()[0]}
    codes = ('?', 'b', 'B', 'h', 'H', 'i', 'I', 'l', 'L', 'q', 'Q', 'e', 'f', 'd')
    dtype_classes = {type(np.dtype(code)) for code in codes}
    return (
        HistoryBuffer,
        ConfigDict,
        bytes,  # how pickle writes the data of an empty array
        *sorted(dtype_classes, key=lambda cls: cls.__name__),
        # A pickle names things with a dot: without one, the unpickler may fill an array that
        # _rebuild_array made, but nothing in a file can name the class and call it.
        (np.ndarray, 'ndarray'),
        (_ArrayClass, 'numpy.ndarray'),
        (_numeric_dtype, 'numpy.dtype'),
        *(
            (function, f'numpy.{core}.multiarray.{name}')
            for name, function in multiarray.items()
            for core in ('core', '_core')
        ),
        (_closed_getattr, 'builtins.getattr'),
        *_classes_of_getattr(),
    )


class _ArrayClass:
    """What ``numpy.ndarray`` means in a checkpoint: an argument of :func:`_rebuild_array`."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise UnpicklingError('a checkpoint may not construct an array directly')


def _rebuild_array(cls: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """NumPy's ``_reconstruct``: an empty array, which the unpickler then fills."""
    if cls is not _ArrayClass:
        raise UnpicklingError(f'a checkpoint may hold numpy.ndarray, not {cls!r}')
    return np.ndarray((0,), np.int8)


def _numeric_dtype(code: str, *flags: bool) -> np.dtype:
    """``numpy.dtype`` for booleans, integers and floating-point numbers only."""
    dtype = np.dtype(code, *flags)
    if dtype.kind not in 'biuf':
        raise UnpicklingError(f'a checkpoint may not hold the NumPy type {dtype}')
    return dtype


@functools.cache
def _classes_of_getattr() -> dict[type, frozenset[str]]:
    """For each class, the functions that a checkpoint may name through ``getattr``."""
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    return {
        HistoryBuffer: frozenset({'min', 'max', 'current', 'mean'}),
        OneCycleParamScheduler: frozenset({'_annealing_cos', '_annealing_linear'}),
    }


def _closed_getattr(owner: type, name: str) -> Callable:
    """``getattr`` for a closed list of functions.

    Raises:
        pickle.UnpicklingError: The function is not on the list.
    """
    if not isinstance(owner, type) or name not in _classes_of_getattr().get(owner, ()):
        raise UnpicklingError(f'a checkpoint may not name the attribute {name!r} of {owner!r}')
    return getattr(owner, name)
