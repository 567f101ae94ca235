"""Every fix for a defect of the packages below us, a file each, named after what it mends.

:func:`apply` applies them all and may be called any number of times; importing ``mmdet_lcp``
calls it. A fix changes nothing where upstream already works. :func:`init_cpu_process_group`
is for launch scripts and is not part of :func:`apply`.
"""

from mmdet_lcp.compat.checkpoint_door import checkpoints_read_safely
from mmdet_lcp.compat.checkpoint_reading import torch_load_weights_only
from mmdet_lcp.compat.config_paths import config_package_name
from mmdet_lcp.compat.distributed import (
    close_process_group,
    ddp_device_ids_on_cpu,
    init_cpu_process_group,
)
from mmdet_lcp.compat.empty_datasets import empty_dataset_message, empty_datasets_named
from mmdet_lcp.compat.empty_results import empty_results_evaluated
from mmdet_lcp.compat.host_packages import require_host_packages
from mmdet_lcp.compat.image_reading import unreadable_images_named
from mmdet_lcp.compat.mmengine import require_private_names
from mmdet_lcp.compat.modes_of_distilling import train_returns_distilling_detector
from mmdet_lcp.compat.onnx_boxes import exported_box_decoding
from mmdet_lcp.compat.onnx_deform_conv import exported_deform_conv
from mmdet_lcp.compat.onnx_roi_align import exported_roi_align
from mmdet_lcp.compat.roi_align_strides import roi_align_on_any_strides
from mmdet_lcp.compat.ssd_head import ssd_head_loss_cls

__all__ = ['apply', 'close_process_group', 'empty_dataset_message', 'init_cpu_process_group']


def apply() -> None:
    """Apply every fix of this package to the running process. Idempotent.

    Raises:
        ImportError: mmdet, mmcv or mmengine is missing or too old, or this mmengine lacks a
            private name that is used; it says what to install.
    """
    require_host_packages()
    require_private_names()
    ssd_head_loss_cls()
    train_returns_distilling_detector()
    exported_box_decoding()
    exported_deform_conv()
    exported_roi_align()
    roi_align_on_any_strides()
    torch_load_weights_only()
    checkpoints_read_safely()
    unreadable_images_named()
    ddp_device_ids_on_cpu()
    config_package_name()
    empty_datasets_named()
    empty_results_evaluated()
