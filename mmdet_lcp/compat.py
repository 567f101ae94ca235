"""Every fix for a defect of the packages below us, each named after its upstream issue.

:func:`apply` applies them all and may be called any number of times; importing ``mmdet_lcp``
calls it. A fix changes nothing where upstream already works. :func:`init_cpu_process_group`
is for launch scripts and is not part of :func:`apply`.
"""

from __future__ import annotations

import atexit
import functools
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
import torch.distributed as dist

from mmdet_lcp.errors import CompressionError

_PACKAGE = 'mmdet_lcp'
_LOCK_FREE_S = 0.5


def apply() -> None:
    """Apply every fix of this module to the running process. Idempotent."""
    ssd_head_loss_cls()
    exported_box_decoding()
    exported_roi_align()
    torch_load_weights_only()
    ddp_device_ids_on_cpu()
    config_package_name()
    empty_datasets_named()


# --------------------------------------------------------------------------- mmdet


def ssd_head_loss_cls() -> None:
    """Let SSD predict: give every ``SSDHead`` the attribute ``loss_cls``.

    ``BaseDenseHead`` asks ``self.loss_cls`` whether it has an activation of its own, and SSD
    computes its loss with a function and has none:
    ``'SSDHead' object has no attribute 'loss_cls'``
    (open-mmlab/mmdetection #11063, #11305, #11780). With ``None`` the head takes the path it
    always had: softmax over ``num_classes + 1`` logits, the last class being background.
    The attribute belongs to the instance, so that a subclass may still assign a module to it.
    """
    from mmdet.models.dense_heads import SSDHead

    init = SSDHead.__init__
    if hasattr(init, '_lcp_fix'):
        return

    @functools.wraps(init)
    def fixed_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    fixed_init._lcp_fix = 'mmdetection#11063'
    SSDHead.__init__ = fixed_init


def exported_box_decoding() -> None:
    """Let detectors be exported to ONNX that decode boxes between two stages, as cascades do.

    For an export ``DeltaXYWHBBoxCoder`` takes ``onnx_delta2bbox``, which imports a module that
    mmdet 3 no longer has (``No module named 'mmdet.core'``). Boxes of one image, (N, 4k), are
    decoded by ``delta2bbox`` instead, as always; torch traces it.
    """
    from mmdet.models.task_modules.coders import delta_xywh_bbox_coder as coder

    decode = coder.onnx_delta2bbox
    if hasattr(decode, '_lcp_fix'):
        return

    @functools.wraps(decode)
    def fixed_decode(rois, deltas, *args, **kwargs):
        one_image = deltas.ndim == 2
        return (coder.delta2bbox if one_image else decode)(rois, deltas, *args, **kwargs)

    fixed_decode._lcp_fix = 'mmdet onnx_delta2bbox'
    coder.onnx_delta2bbox = fixed_decode


# --------------------------------------------------------------------------- mmcv


def exported_roi_align() -> None:
    """Let RoIAlign compute in ONNX what it computes in mmcv, from opset 16 on.

    mmcv writes the operator of opset 10, which enlarges regions below a cell of the map to one
    cell; mmcv's with ``aligned=True`` does not. Opset 16 has a mode for either; below it mmcv's
    own form stays.
    """
    from mmcv.ops.roi_align import RoIAlignFunction

    below_16 = RoIAlignFunction.symbolic
    if hasattr(below_16, '_lcp_fix'):
        return

    def symbolic(g, input, rois, output_size, spatial_scale, sampling_ratio, pool_mode, aligned):
        if g.opset < 16:
            more = (output_size, spatial_scale, sampling_ratio, pool_mode, aligned)
            return below_16(g, input, rois, *more)

        def column(index: int | list[int]):
            which = g.op('Constant', value_t=torch.tensor(index))
            return g.op('Gather', rois, which, axis_i=1)

        return g.op(
            'RoiAlign',
            input,
            column([1, 2, 3, 4]),
            g.op('Cast', column(0), to_i=torch.onnx.TensorProtoDataType.INT64),
            output_height_i=output_size[0],
            output_width_i=output_size[1],
            spatial_scale_f=spatial_scale,
            sampling_ratio_i=max(0, sampling_ratio),
            mode_s=pool_mode,
            coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
        )

    symbolic._lcp_fix = 'mmcv RoIAlignFunction.symbolic'
    RoIAlignFunction.symbolic = staticmethod(symbolic)


# --------------------------------------------------------------------------- mmengine


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
    if _torch_version() < (2, 6):
        return
    torch.serialization.add_safe_globals(_checkpoint_globals())


def ddp_device_ids_on_cpu() -> None:
    """Let a model on the CPU be wrapped for distributed training.

    ``Runner.wrap_model`` always passes ``device_ids=[LOCAL_RANK]``, and torch refuses that for
    a CPU model (``device_ids and output_device arguments only work with
    single-device/multiple-device GPU modules or CPU modules``). For a model with no parameter
    on an accelerator the argument is dropped.
    """
    from mmengine.model import MMDistributedDataParallel

    init = MMDistributedDataParallel.__init__
    if hasattr(init, '_lcp_fix'):
        return

    @functools.wraps(init)
    def fixed_init(self, module, *args, **kwargs):
        if all(p.device.type == 'cpu' for p in module.parameters()):
            kwargs.pop('device_ids', None)
            kwargs.pop('output_device', None)
        init(self, module, *args, **kwargs)

    fixed_init._lcp_fix = 'mmengine Runner.wrap_model'
    MMDistributedDataParallel.__init__ = fixed_init


def config_package_name() -> None:
    """Let ``_base_ = 'mmdet_lcp::...'`` name a config of this package.

    mmengine resolves ``package::path`` only for the OpenMMLab packages of a fixed table
    (``mmengine does not support to load mmdet_lcp config``), and looks for an editable install
    in ``site-packages``, where it is not. No scope is given to what is inherited: the package's
    configs name its own types in full, and mmdet's types are found by mmdet's default scope.
    """
    from mmengine.config import Config

    resolve = Config._get_cfg_path
    if hasattr(resolve, '_lcp_fix'):
        return

    @functools.wraps(resolve)
    def fixed_resolve(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, separator, path = cfg_path.partition('::')
        if not separator or package != _PACKAGE:
            return resolve(cfg_path, filename)
        return str(Path(__file__).parent / '.mim' / 'configs' / path), None

    fixed_resolve._lcp_fix = 'mmengine get_installed_path'
    Config._get_cfg_path = staticmethod(fixed_resolve)


def empty_datasets_named() -> None:
    """Make ``BaseDataset`` say which data set is empty, where NumPy's error is all one sees.

    A data set serialises its images while it is built, and NumPy refuses to concatenate none:
    ``need at least one array to concatenate``.
    """
    from mmengine.dataset import BaseDataset

    serialize = BaseDataset._serialize_data
    if hasattr(serialize, '_lcp_fix'):
        return

    @functools.wraps(serialize)
    def fixed_serialize(self):
        if not self.data_list:
            raise CompressionError(empty_dataset_message(self))
        return serialize(self)

    fixed_serialize._lcp_fix = 'mmengine BaseDataset._serialize_data'
    BaseDataset._serialize_data = fixed_serialize


def empty_dataset_message(dataset) -> str:
    """What to say of a ``BaseDataset`` without images: its type, files, folders and filter."""
    return (
        f'{type(dataset).__name__} has no images: ann_file={dataset.ann_file!r}, '
        f'data_prefix={dict(dataset.data_prefix)!r}, filter_cfg={dataset.filter_cfg!r}. Check '
        'that the annotations list images, that metainfo names classes which occur in them, and '
        'that filter_cfg leaves some over'
    )


def init_cpu_process_group(timeout_s: float = 1800.0) -> bool:
    """Create the gloo process group before mmengine tries to select a CUDA device.

    mmengine's launchers call ``torch.cuda.set_device`` unless a process group exists already.
    Call this first in a script started by ``torchrun``; elsewhere it does nothing. The group is
    closed when the process ends.

    Args:
        timeout_s: Seconds after which a collective operation fails; above 0.

    Returns:
        Whether a group was created: False where CUDA is available, where ``RANK`` or
        ``WORLD_SIZE`` is not set, and where a group exists.

    Raises:
        ValueError: ``timeout_s`` is not positive.
    """
    if timeout_s <= 0:
        raise ValueError(f'timeout_s must be positive, got {timeout_s}')
    started_by_launcher = 'RANK' in os.environ and 'WORLD_SIZE' in os.environ
    if not started_by_launcher or torch.cuda.is_available():
        return False
    if not dist.is_available() or dist.is_initialized():
        return False
    dist.init_process_group(backend='gloo', timeout=timedelta(seconds=timeout_s))
    atexit.register(close_process_group)
    return True


def close_process_group() -> None:
    """Close the process group, if there is one, so that the process can end.

    gloo's threads outlive ``destroy_process_group`` as long as a wrapped model refers to the
    group, and they take the interpreter's lock to let go of a tensor behind its operation (torch
    2.13). One that still waits for the lock when the interpreter ends aborts the process
    (``terminate called without an active exception``), so it is given up for a moment first.
    """
    if dist.is_initialized():
        time.sleep(_LOCK_FREE_S)
        dist.destroy_process_group()


# --------------------------------------------------------------------------- details


def _torch_version() -> tuple[int, int]:
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
