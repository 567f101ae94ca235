"""A report as a run of 13 groups leaves it."""

import numpy as np

from mmdet_lcp.report.facts import DetectorFacts, GroupFacts, SkippedLayer, StepFacts
from mmdet_lcp.report.report import Report


def report(**changes):
    steps = [StepFacts('dense', None, {'pascal_voc/mAP': 0.836, 'pascal_voc/AP50': 0.836})]
    for i in range(13):
        name = f'backbone.features.{2 * i}'
        steps.append(StepFacts('selected', name, {'pascal_voc/AP50': 0.7 - 0.01 * i}))
        steps.append(StepFacts('finetuned', name, {'pascal_voc/AP50': 0.82 - 0.002 * i}))
    steps.append(StepFacts('final', None, {'pascal_voc/AP50': 0.824}))
    data = dict(
        method='LCP',
        seed=3,
        command='python tools/train.py configs/lcp/ssd300.py',
        seconds=3725,
        dense=DetectorFacts(
            {'pascal_voc/mAP': 0.836, 'pascal_voc/AP50': np.float32(0.836)},
            24_000_000,
            30_500_000_000,
            26_000_000_000,
            410.2,
        ),
        compressed=DetectorFacts(
            {'pascal_voc/mAP': 0.824, 'pascal_voc/AP50': 0.824},
            6_000_000,
            7_650_000_000,
            6_500_000_000,
            140.0,
            24_123_456,
        ),
        groups=[GroupFacts('backbone.features.0', 64, 32, 32, 4.2)],
        skipped=[SkippedLayer('neck.l2_norm', 'a | b')],
        steps=steps,
    )
    return Report(**(data | changes))
