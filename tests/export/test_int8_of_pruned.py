"""Prune, write as ONNX, quantise: the end of the chain against the pruned detector itself."""

import detectors
import numpy as np
import onnx
import pytest
import torch
from torch.utils._pytree import tree_leaves

from mmdet_lcp.export import choose_int8, export_onnx, open_session
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups

pytest.importorskip('onnxruntime')
SIZE = (64, 64)


@torch.no_grad()
def test_a_pruned_detector_in_eight_bits(tmp_path):
    """A third of the channels of each group goes; widths become odd ones."""
    detector = detectors.tiny_detector('retinanet')
    groups = [
        group
        for group in find_groups(detector, SIZE)
        if group.obstacle is None and group.kinds == ('single',)
    ]
    totals, plan = axis_sizes(detector, groups), Plan()
    for group in groups:
        plan = plan.remove(group, range(0, group.channels, 3), totals)
    apply_plan(detector, plan)
    export_onnx(detector, SIZE, tmp_path / 'x.onnx')
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 3, *SIZE, generator=generator) for _ in range(4)]
    choice = choose_int8(
        tmp_path / 'x.onnx', tmp_path / 'y.onnx', [each.numpy() for each in images]
    )
    shapes = {tuple(each.dims) for each in onnx.load(str(tmp_path / 'y.onnx')).graph.initializer}
    assert any(len(shape) == 4 and shape[0] % 2 for shape in shapes)
    found = open_session(tmp_path / 'y.onnx').run(None, {'images': images[0].numpy()})
    errors = [
        np.sqrt(np.square(one - other.numpy()).mean()) / other.numpy().std()
        for one, other in zip(found, tree_leaves(detector(images[0], mode='tensor')), strict=True)
    ]
    assert np.mean(errors) == pytest.approx(choice.final.loss, rel=0.5) and max(errors) < 0.2
