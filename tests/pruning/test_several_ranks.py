"""Four ranks select the channels that one selects, by every criterion and through every head.

SSD's head divides its loss by what a batch holds, FCOS's by the mean of that over the ranks.
"""

import numpy as np
import pytest
import small_ssd
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from ranks import be_the_other_rank, on_ranks
from small_ssd import MODEL, SIZE

from mmdet_lcp.graph import Plan, find_groups
from mmdet_lcp.pruning.criteria import DCP, LCP, BackwardElimination, GroupFisher, Taylor, ThiNet
from mmdet_lcp.pruning.problem.coherence import effective_positions
from mmdet_lcp.pruning.problem.objective import Objective
from mmdet_lcp.pruning.problem.selection_set import SelectionSet
from mmdet_lcp.selection.config import SelectionConfig
from mmdet_lcp.selection.norm_statistics import mean_loss

RANKS, KEEP = 4, 5
CRITERIA = {
    'exact': BackwardElimination(metric='gradient'),
    'thinet': ThiNet(),
    'lcp': LCP(reference='full'),
    'dcp': DCP(inner_steps=1, batches_per_step=None),
    'taylor': Taylor(),
    'group_fisher': GroupFisher(),
}
FCOS = dict(
    neck=dict(type='FPN', in_channels=[32, 64], out_channels=16, num_outs=2),
    bbox_head=dict(
        type='FCOSHead', num_classes=3, in_channels=16, feat_channels=16, stacked_convs=1,
        strides=[4, 8], regress_ranges=((-1, 16), (16, 1e8)), norm_cfg=None,
    ),
    train_cfg=dict(),
    test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5)),
)  # fmt: skip


class Images:
    """Noise; each image with one object more than the one before."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = np.random.default_rng(index)
        pixels = torch.from_numpy(generator.integers(0, 256, (3, SIZE, SIZE), np.uint8))
        corners = generator.uniform(0, 30, (index + 1, 2))
        boxes = np.hstack([corners, corners + generator.uniform(8, 30, corners.shape)])
        sample = DetDataSample(metainfo=dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32), labels=torch.arange(index + 1) % 3
        )
        return dict(inputs=pixels, data_samples=sample)


def detector_of(kind: str):
    if kind == 'ssd':
        return small_ssd.build()
    torch.manual_seed(0)
    detector = MODELS.build({**MODEL, **FCOS})
    detector.init_weights()
    return detector.eval().requires_grad_(False)


def facts(rank: int) -> dict:
    """Scores and channels by each criterion, and sums that follow the loss."""
    found = {}
    for kind in ('ssd', 'fcos'):
        dense, detector = detector_of(kind), detector_of(kind)
        config = SelectionConfig(num_images=8)
        images = SelectionSet.draw(Images(), dense, config, batch_size=2, seed=0, sampler=None)
        group = find_groups(dense, (SIZE, SIZE))[1]
        for name, criterion in CRITERIA.items():
            own = criterion.needs_metrics
            problem = images.problem(
                group, dense, detector, Plan(), Objective(), 5, needs_metrics=own
            )
            selection = criterion.select(problem, KEEP)
            found[kind, name] = selection.keep, selection.scores
        found[kind, 'loss'] = None, [mean_loss(dense, images.batches)]
        paths = [member.path for member in group.consumers]
        found[kind, 'positions'] = (
            None,
            list(effective_positions(dense, images.batches, paths).values()),
        )
    return found


@pytest.fixture(scope='module')
def by_rank(tmp_path_factory):
    return on_ranks(RANKS, facts, __file__, tmp_path_factory.mktemp('ranks'))


@pytest.fixture(scope='module')
def alone():
    return facts(0)


@pytest.mark.parametrize('name', [*CRITERIA, 'loss', 'positions'])
@pytest.mark.parametrize('kind', ['ssd', 'fcos'])
def test_four_ranks_and_one(by_rank, alone, kind, name):
    keep, scores = alone[kind, name]
    for own in by_rank:
        assert own[kind, name][0] == keep
        assert own[kind, name][1] == pytest.approx(scores, rel=1e-5, abs=1e-12)


if __name__ == '__main__':
    be_the_other_rank(facts)
