"""Where a student mimics: which boxes are taken, of which kind, and how many."""

import pytest
import torch
from made_detectors import HEADS, SIZE, build, packed, two_stage_config
from mmcv.ops import batched_nms
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub

from mmdet_lcp import CompressionError
from mmdet_lcp.detectors.region_levels import level_rule, nearest_size
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.mimic_regions import balanced, make_regions, random_negatives


def chosen(detector, batch, kind='proposals', count=20):
    """Regions of the batch, its samples, and the outputs that were tapped."""
    images, samples = packed(batch)
    regions = make_regions(kind, detector, count)
    with Taps(detector, [*regions.paths, *extra(detector)]) as taps, regions.watch():
        detector(images, samples, mode='loss')
    return regions.choose(taps, samples), samples, taps


def extra(detector):
    return ['rpn_head'] if hasattr(detector, 'rpn_head') else []


def overlaps_of(rois, samples):
    """The largest IoU of each region with an object of its image."""
    found = []
    for row in rois:
        objects = samples[int(row[0])].gt_instances.bboxes
        iou = bbox_overlaps(row[None, 1:], objects)
        found.append(float(iou.max()) if iou.numel() else 0.0)
    return torch.tensor(found)


class TestBalanced:
    def test_by_hand(self):
        scores = torch.tensor([0.1, 0.9, 0.5, 0.8, 0.2, 0.7])
        positive = torch.tensor([True, False, True, False, True, False])
        assert balanced(scores, positive, 4).tolist() == [2, 4, 1, 3]
        assert balanced(scores, positive, 99).tolist() == [2, 4, 0, 1, 3, 5]

    def test_as_many_negatives_as_positives(self):
        scores = torch.arange(10.0)
        positive = scores == 3
        assert balanced(scores, positive, 8).tolist() == [3, 9]

    def test_without_a_positive_there_is_one_negative(self):
        assert balanced(torch.arange(4.0), torch.zeros(4).bool(), 4).tolist() == [3]

    def test_of_nothing(self):
        assert balanced(torch.zeros(0), torch.zeros(0).bool(), 4).tolist() == []


class TestProposals:
    def proposals(self, detector, outputs, image):
        """The RPN's proposals of one image by hand: decode, clip, NMS by level, best first."""
        head = detector.rpn_head
        boxes, scores, levels = [], [], []
        for level, (cls, reg) in enumerate(zip(*outputs, strict=True)):
            anchors = head.prior_generator.grid_priors(
                [c.shape[-2:] for c in outputs[0]], device='cpu'
            )
            score = cls[image].permute(1, 2, 0).reshape(-1).sigmoid()
            delta = reg[image].permute(1, 2, 0).reshape(-1, 4)
            order = score.argsort(descending=True)[:60]
            boxes.append(
                head.bbox_coder.decode(anchors[level][order], delta[order], max_shape=(SIZE, SIZE))
            )
            scores.append(score[order])
            levels.append(torch.full((len(order),), level))
        boxes, scores, levels = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        large = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        boxes, scores, levels = boxes[large], scores[large], levels[large]
        kept, _ = batched_nms(boxes, scores, levels, dict(type='nms', iou_threshold=0.7))
        return kept[:40, :4], kept[:40, 4]

    def test_are_the_students_own(self, faster_rcnn, batch):
        rois, samples, taps = chosen(faster_rcnn, batch, count=12)
        for image in range(3):
            boxes, scores = self.proposals(faster_rcnn, taps['rpn_head'], image)
            objects = samples[image].gt_instances.bboxes
            # the RoI head's sampler puts the objects in front
            boxes = torch.cat([objects, boxes])
            scores = torch.cat([torch.ones(len(objects)), scores])
            iou = bbox_overlaps(boxes, objects)
            positive = iou.amax(1) >= 0.5 if len(objects) else torch.zeros(len(boxes)).bool()
            expected = boxes[balanced(scores, positive, 12)]
            assert len(expected) > 0
            torch.testing.assert_close(rois[rois[:, 0] == image, 1:], expected)

    def test_positives_and_negatives(self, faster_rcnn, batch):
        rois, samples, _ = chosen(faster_rcnn, batch, count=12)
        positive = overlaps_of(rois, samples) >= 0.5
        for image in range(3):
            here = positive[rois[:, 0] == image]
            assert len(here) <= 12
            assert int((~here).sum()) == max(1, int(here.sum()))

    def test_losses_are_as_without_watching(self, faster_rcnn, batch):
        images, samples = packed(batch)
        torch.manual_seed(5)
        expected = faster_rcnn(images, packed(batch)[1], mode='loss')
        torch.manual_seed(5)
        regions = make_regions('proposals', faster_rcnn, 8)
        with regions.watch():
            losses = faster_rcnn(images, samples, mode='loss')
        assert set(losses) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value)
        assert 'predict_by_feat' not in vars(faster_rcnn.rpn_head)

    def test_cascade(self, batch):
        rois, samples, _ = chosen(build(two_stage_config(kind='CascadeRCNN')), batch, count=6)
        assert set(rois[:, 0].tolist()) == {0, 1, 2}
        assert len(samples) == 3

    def test_without_train_cfg(self):
        config = two_stage_config()
        config.train_cfg = None
        with pytest.raises(CompressionError, match=r'mimic.regions.*model.train_cfg'):
            make_regions('proposals', build(config), 8)

    def test_without_an_rpn(self):
        config = two_stage_config()
        config.update(type='FastRCNN')
        config.pop('rpn_head')
        config.train_cfg.pop('rpn')
        config.train_cfg.pop('rpn_proposal')
        detector = build(ConfigDict(config))
        with pytest.raises(CompressionError, match=r"mimic.regions='proposals'.*rpn_head"):
            make_regions('proposals', detector, 8)


@pytest.mark.parametrize('name', HEADS)
def test_default_boxes_of_every_head(name, batch):
    if name == 'TOOD':  # mmengine's runner tells it the epoch
        MessageHub.get_current_instance().update_info('epoch', 0)
    rois, _, _ = chosen(build(HEADS[name]), batch, count=20)
    assert rois.shape[1] == 5 and len(rois) > 0
    per_image = [int((rois[:, 0] == image).sum()) for image in range(3)]
    assert max(per_image) <= 20
    assert not rois.requires_grad


def test_default_boxes_by_assignment(ssd, batch):
    """SSD's positives have an IoU of 0.5 or are the best of an object; negatives are as many."""
    ssd.train()
    rois, samples, _ = chosen(ssd, batch, count=200)
    iou = overlaps_of(rois, samples)
    anchors = ssd.bbox_head.prior_generator.grid_priors([(4, 4), (2, 2), (1, 1)], device='cpu')
    anchors = torch.cat(anchors)
    for image in range(2):
        here = rois[:, 0] == image
        objects = samples[image].gt_instances.bboxes
        table = bbox_overlaps(anchors, objects)
        best = table.argmax(0)
        positive = (table.amax(1) >= 0.5).index_fill(0, best, True)
        count = int(positive.sum())
        assert int(here.sum()) == 2 * count
        expected = {tuple(row) for row in anchors[positive].tolist()}
        assert {tuple(row) for row in rois[here, 1:][:count].tolist()} == expected
        assert (iou[here][count:] < 0.5).all()


class TestGroundTruth:
    def test_objects_and_as_many_that_miss_them(self, ssd, batch):
        torch.manual_seed(0)
        rois, samples, _ = chosen(ssd.train(), batch, 'ground_truth')
        for image in range(2):
            here = rois[rois[:, 0] == image, 1:]
            objects = samples[image].gt_instances.bboxes
            torch.testing.assert_close(here[: len(objects)], objects)
            others = here[len(objects) :]
            assert 0 < len(others) <= len(objects)
            assert (bbox_overlaps(others, objects) < 0.5).all()
            assert (others >= 0).all() and (others <= SIZE).all()
        assert not (rois[:, 0] == 2).any()

    def test_random_ones_have_the_objects_sizes(self):
        objects = torch.tensor([[0.0, 0, 5, 9], [30, 30, 50, 40]])
        torch.manual_seed(1)
        found = random_negatives(objects, (60, 80))
        sizes = (found[:, 2:] - found[:, :2]).round(decimals=3).tolist()
        assert len(found) == 2
        assert all(size in ([5.0, 9.0], [20.0, 10.0]) for size in sizes)
        assert not torch.equal(found, random_negatives(objects, (60, 80)))

    def test_no_room(self):
        whole = torch.tensor([[0.0, 0, 60, 60]])
        assert len(random_negatives(whole, (60, 60))) == 0

    def test_limit(self, ssd, batch):
        rois, _, _ = chosen(ssd.train(), batch, 'ground_truth', count=2)
        assert max(int((rois[:, 0] == image).sum()) for image in range(3)) == 2


def test_whole_map(ssd, batch):
    assert chosen(ssd.train(), batch, 'map')[0] is None


class TestLevels:
    def rois(self, sizes):
        sides = torch.tensor(sizes, dtype=torch.float32)
        return torch.stack([torch.zeros(len(sides)), sides * 0, sides * 0, sides, sides], 1)

    def test_nearest_by_hand(self):
        """Halfway between 8 and 32 is 16, logarithmically."""
        rois = self.rois([1, 15.9, 16.1, 500])
        assert nearest_size(rois, torch.tensor([8.0, 32.0])).tolist() == [0, 0, 1, 1]
        long = torch.tensor([[0, 0.0, 0, 64, 4]])  # an area of 16 x 16
        assert nearest_size(long, torch.tensor([4.0, 16.0, 64.0])).tolist() == [1]

    def test_ssd(self, ssd):
        """Every default box belongs to the level that has it."""
        count, rule = level_rule(ssd)
        assert count == 3
        for level, anchors in enumerate(ssd.bbox_head.prior_generator.base_anchors):
            rois = torch.cat([torch.zeros(len(anchors), 1), anchors], dim=1)
            assert rule(rois).tolist() == [level] * len(anchors)

    def test_two_stage(self, faster_rcnn):
        """FPN's rule: up to 2 x 56 pixels at the first level, up to 4 x 56 at the second."""
        count, rule = level_rule(faster_rcnn)
        assert count == 3
        assert rule(self.rois([20, 111, 113, 223, 225, 900])).tolist() == [0, 0, 1, 1, 2, 2]

    @pytest.mark.parametrize('name', ['FCOS', 'YOLOX', 'RTMDet'])
    def test_points(self, name):
        """8 strides of 8, 16, 32: 64, 128, 256 pixels."""
        count, rule = level_rule(build(HEADS[name]))
        assert count == 3
        assert rule(self.rois([10, 90, 91, 181, 182])).tolist() == [0, 0, 1, 1, 2]

    def test_one_map(self):
        config = two_stage_config()
        extractor = config.roi_head.bbox_roi_extractor
        extractor.featmap_strides = [8]
        assert level_rule(build(config)) is None
