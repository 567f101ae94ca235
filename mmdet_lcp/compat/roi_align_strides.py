"""mmcv: RoIAlign of maps that do not lie in memory channel by channel."""

from __future__ import annotations

import functools


def roi_align_on_any_strides() -> None:
    """Let RoIAlign on the CPU read maps in channels-last format as what they are.

    mmcv's operator takes the numbers one after the other as they lie in memory, as if the maps
    were contiguous: a two-stage detector in channels-last format reports wrong boxes, without a
    word.
    """
    from mmcv.ops.roi_align import RoIAlignFunction

    forward = RoIAlignFunction.forward
    if hasattr(forward, '_lcp_fix'):
        return

    @functools.wraps(forward)
    def fixed_forward(ctx, input, *args, **kwargs):
        return forward(ctx, input.contiguous(), *args, **kwargs)

    fixed_forward._lcp_fix = 'mmcv RoIAlignFunction.forward'
    RoIAlignFunction.forward = staticmethod(fixed_forward)
