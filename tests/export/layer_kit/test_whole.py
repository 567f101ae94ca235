"""Whole detectors in a kit, and the table of latencies that a kit tells."""

import json

import numpy as np
import pytest
import small_ssd
import torch
from layer_shapes import shape_of
from mmengine.config import ConfigDict
from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit import KitWriter
from mmdet_lcp.export.layer_kit.whole import add_layers, add_whole, table_of, whole_bench


def test_a_detector_runs_from_the_preprocessed_image_to_the_heads_outputs():
    detector = small_ssd.build()
    kept = dict(nms_pre=10, score_thr=0.02, max_per_img=9, nms=dict(type='nms', iou_threshold=0.5))
    detector.test_cfg = detector.bbox_head.test_cfg = ConfigDict(kept)
    bench = whole_bench(detector, (small_ssd.SIZE, small_ssd.SIZE))
    assert bench.input == (1, 3, small_ssd.SIZE, small_ssd.SIZE)
    torch.manual_seed(0)
    image = torch.randn(bench.input)
    with torch.no_grad():
        found, expected = bench.network(image), detector(image, mode='tensor')
    flat = [tensor for part in expected for tensor in part]
    assert len(found) == len(flat)
    for one, other in zip(found, flat, strict=True):
        torch.testing.assert_close(one, other)


def test_layers_at_every_pair_of_widths_and_a_whole_detector(tmp_path):
    writer = KitWriter(tmp_path / 'kit', 'torch')
    shape = shape_of(nn.Conv2d(8, 8, 1), 4, 4)
    add_layers(writer, {shape: ((4, 8), (2, 6, 8))})
    whole = whole_bench(nn.Conv2d(3, 4, 1), (4, 4))
    name = add_whole(writer, whole, (4,))
    entries = json.loads((writer.close() / 'manifest.json').read_text())['entries']
    layers = [(entry['ins'], entry['outs']) for entry in entries if 'layer' in entry]
    assert layers == [(4, 2), (4, 6), (4, 8), (8, 2), (8, 6), (8, 8)]
    assert {entry['layer'] for entry in entries if 'layer' in entry} == {str(shape)}
    assert [entry['name'] for entry in entries if entry.get('counts') == [4]] == [name]


def test_the_table_by_hand():
    shape = shape_of(nn.Conv2d(8, 8, 1), 4, 4)
    entries = [
        dict(name=f'{ins}-{outs}', ms=float(ins * outs), repeats=1, brackets=[],
             layer=str(shape), ins=ins, outs=outs)
        for ins in (8, 4) for outs in (8, 2)
    ]  # fmt: skip
    whole = dict(name='whole', ms=90.0, repeats=1, counts=[4, 2])
    times = dict(what='detector', device='a board', entries=[*entries, whole])
    table = table_of(times)
    assert table.wholes == [((4, 2), 90.0)]
    for ins, outs in ((4, 2), (4, 8), (8, 2), (8, 8)):
        assert float(table.ms(shape, ins, outs)) == pytest.approx(ins * outs)
    assert np.isclose(float(table.ms(shape, 6, 2)), 12)  # between the two of them
    assert 'no whole detector' in table_of({**times, 'entries': entries}).alone
    with pytest.raises(CompressionError, match='no times of a detector'):
        table_of({**times, 'what': 'steps'})
