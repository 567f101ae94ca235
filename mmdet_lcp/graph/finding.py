"""Find the channel groups of a detector: trace it, describe what was found, try it out."""

from collections.abc import Callable
from functools import partial
from operator import index
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph.example import example_image
from mmdet_lcp.graph.groups import ChannelGroup, groups_of
from mmdet_lcp.graph.passes import Pass, modules_run, passes_of
from mmdet_lcp.graph.single_detector import check_single
from mmdet_lcp.graph.tracing import ChannelTrace
from mmdet_lcp.graph.verification import tried

Tell = Callable[[str], None]


def _log(line: str) -> None:
    print_log(line, logger='current')


def find_groups(
    detector: nn.Module,
    image_size: tuple[int, int],
    tell: Tell = _log,
) -> list[ChannelGroup]:
    """Trace a detector and return all its channel groups, in order of execution.

    A detector of mmdet is traced through its forward in ``mode='tensor'``, and where its loss (on
    made-up objects) or its prediction runs layers that this does not, through these as well. If
    none of the three runs, its backbone and neck are traced alone.

    Args:
        detector: a plain mmdet detector; its weights and mode are left as they are.
        image_size: (height, width) of the traced image, in pixels.
        tell: called with a line when only a part of the detector can be traced or tried out,
            and now and then when trying out takes long; by default it goes into the log.

    Raises:
        CompressionError: the detector's forward pass cannot be traced, it holds several detectors,
            or no such image exists.
    """
    _check_size(image_size)
    check_single(detector)
    if next(detector.parameters(), None) is None:
        raise CompressionError(f'the {type(detector).__name__} has no parameters to prune')
    bench = detached_copy(detector)  # a loss may change more than weights
    # Of noise: some losses cannot do with images on which all candidates are alike.
    example = example_image(bench, image_size, torch.Generator().manual_seed(0))
    trace, passes = _traced(bench, example, image_size, tell)
    trace.finish(bench)
    return tried(bench, groups_of(trace, bench), image_size, passes, tell)


def _traced(
    bench: nn.Module, example: Tensor, image_size: tuple[int, int], tell: Tell
) -> tuple[ChannelTrace, list[Pass]]:
    """The trace of all passes that run, and these."""
    name = type(bench).__name__
    trace: ChannelTrace | None = None
    ran: list[Pass] = []
    failures: dict[str, Exception] = {}
    for each in passes_of(bench):
        try:
            if trace is not None:
                runs = modules_run(bench, partial(each.run, bench, example))
                if runs <= frozenset().union(*trace.runs):
                    ran.append(each)  # it runs nothing new
                    continue
            trace = _follow(trace, bench, partial(each.run, bench, example))
            ran.append(each)
        except CompressionError:
            raise
        except Exception as error:  # a forward pass of someone else's may fail in any way
            failures[each.name] = error
    if trace is None and isinstance(bench, BaseDetector):
        features = Pass('features', lambda detector, inputs: detector.extract_feat(inputs))
        try:
            trace = _follow(None, bench, partial(features.run, bench, example))
        except Exception as error:  # see above
            failures['features'] = error
    if trace is None:
        raise CompressionError(
            f'{name} could not be traced at image size {image_size}: '
            f"{failures['tensor']}. Its forward(mode='tensor') must run on one image."
        ) from failures['tensor']
    for which, error in failures.items():
        tell(_told(name, which, error, ran))
    return trace, ran or [features]


def _follow(
    trace: ChannelTrace | None, bench: nn.Module, forward: Callable[[], Any]
) -> ChannelTrace:
    """A trace with one more pass in it, or a new one."""
    trace = trace or ChannelTrace()
    trace.run(bench, forward)
    if not trace.writes:
        raise ValueError('no convolution or linear layer runs in it')
    return trace


def _told(name: str, which: str, error: Exception, ran: list[Pass]) -> str:
    reason = ' '.join((str(error) or type(error).__name__).split())[:200]
    instead = ' and '.join(each.name for each in ran)
    text = f'The {which} pass of the {name} does not run on a made-up image: {reason}. '
    if which == 'tensor' or not ran:
        return text + (
            f'Its groups are taken from the {instead} pass.' if ran else
            'Only its backbone and neck are pruned.'
        )  # fmt: skip
    return text + 'Layers that only this one runs are not looked at.'


def _check_size(image_size: tuple[int, int]) -> None:
    try:
        height, width = map(index, image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise CompressionError(
            f'image_size is {image_size!r}; it must be (height, width), two whole numbers of '
            'pixels from 1'
        )
