"""mmengine and gloo: several processes on a CPU."""

from __future__ import annotations

import atexit
import functools
import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist

_LOCK_FREE_S = 0.5


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
