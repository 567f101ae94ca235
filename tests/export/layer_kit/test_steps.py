"""Which layers are measured for steps, and the table that their times make."""

import pytest

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.layer_kit import steps
from mmdet_lcp.export.layer_kit.steps import Probe, steps_of


def test_widths():
    """(inputs, outputs, groups) at six channels."""
    assert Probe('1x1', 'in_channels', 1, 1, 8, 6, 5, 8).widths(6) == (6, 8, 1)
    assert Probe('spatial', 'out_channels', 3, 1, 8, 6, 5, 8).widths(6) == (8, 6, 1)
    assert Probe('depthwise', 'in_channels', 3, 1, 0, 6, 5, 8).widths(6) == (6, 6, 6)
    assert Probe('grouped', 'in_channels', 3, 1, 0, 6, 5, 8).widths(6) == (24, 24, 4)


def test_every_kind_and_axis_is_measured_over_one_block():
    for quick in (False, True):
        found = list(steps.probes(quick))
        assert all(len(probe.counts) == 17 and probe.first % 16 == 0 for probe in found)
        assert {(p.kind, p.axis) for p in found} == {
            ('1x1', 'in_channels'), ('1x1', 'out_channels'),
            ('spatial', 'in_channels'), ('spatial', 'out_channels'),
            ('strided', 'in_channels'), ('strided', 'out_channels'),
            ('depthwise', 'in_channels'), ('grouped', 'in_channels'),
        }  # fmt: skip


def test_the_table_by_hand():
    """What stands around a layer is off; numbers of channels are in order."""
    own = dict(kind='1x1', axis='in_channels', layer='1x1, N -> 8', repeats=2, brackets=['a', 'b'])
    times = dict(
        what='steps', runtime='ncnn', engine_version='1', processor='p', threads=1, date='d',
        entries=[
            dict(name='a', ms=1.0, repeats=1), dict(name='b', ms=3.0, repeats=1),
            dict(name='c', ms=8.0, channels=6, **own), dict(name='d', ms=5.0, channels=5, **own),
        ],
    )  # fmt: skip
    (curve,) = steps_of(times).curves
    assert (curve.kind, curve.axis, curve.channels) == ('1x1', 'in_channels', (5, 6))
    assert curve.ms == pytest.approx((1.5, 3.0))  # (5 - 2) / 2 and (8 - 2) / 2
    with pytest.raises(CompressionError, match='no times of a kit for steps'):
        steps_of({**times, 'what': 'detector'})
