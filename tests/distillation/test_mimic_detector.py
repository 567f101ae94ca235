"""A student with its teacher: one loss, and nothing of the teacher in the student."""

import copy

import pytest
import torch
from made_detectors import build, packed, ssd_config, two_stage_config
from mmdet.models import DetDataPreprocessor
from mmengine.config import ConfigDict
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper

from mmdet_lcp.detectors.region_levels import level_rule
from mmdet_lcp.detectors.taps import Taps
from mmdet_lcp.distillation.config import TapConfig
from mmdet_lcp.distillation.feature_mimic import FeatureMimic
from mmdet_lcp.distillation.mimic_bridges import find_bridges
from mmdet_lcp.distillation.mimic_detector import MimicDetector
from mmdet_lcp.distillation.mimic_outputs import HeadOutputs
from mmdet_lcp.distillation.mimic_regions import make_regions
from mmdet_lcp.distillation.mimic_teacher import Teacher
from mmdet_lcp.losses import FeatureMimicLoss

TEST = ConfigDict(
    nms_pre=100,
    nms=dict(type='nms', iou_threshold=0.45),
    min_bbox_size=0,
    score_thr=0.02,
    max_per_img=20,
)


@pytest.fixture
def student():
    config = ssd_config()
    config.backbone.base_channels = 4
    config.neck.update(in_channels=(16, 32), out_channels=(16, 32, 16))
    config.bbox_head.in_channels = (16, 32, 16)
    detector = build(config)
    detector.bbox_head.test_cfg = TEST
    detector.data_preprocessor = DetDataPreprocessor(mean=[100.0] * 3, std=[50.0] * 3)
    return detector


def attach(student, teacher, regions='map', levels='own', weight=1.0, outputs=0.0, **keys):
    size = (64, 64)
    scale = keys.get('image_scale', 1.0)
    whole = tuple(round(side / scale) for side in size)
    kind = keys.pop('transform', 'conv')
    bridges = find_bridges(student, teacher, [TapConfig()], kind, size, whole)
    heads = HeadOutputs(student, teacher) if outputs else None
    paths = [b.teacher.path for b in bridges] + ([heads.teacher_path] if heads else [])
    rule = level_rule(student) if levels == 'own' else None
    loss = keys.pop('loss', FeatureMimicLoss())
    mimic = FeatureMimic(
        Teacher(teacher, paths),
        bridges,
        make_regions(regions, student, 40),
        loss,
        weight,
        rule,
        heads,
        outputs,
    )
    return MimicDetector(student, mimic, **keys)


def total(losses):
    values = [
        v for value in losses.values() for v in (value if isinstance(value, list) else [value])
    ]
    return sum(values)


def features(detector, images):
    return copy.deepcopy(detector).extract_feat(images)


class TestLoss:
    def test_whole_map_by_hand(self, student, ssd, batch):
        """The mean over the maps of half the mean square."""
        model = attach(student, ssd, weight=3.0).train()
        images, samples = packed(batch)
        teacher = ssd.extract_feat(images)
        own = features(student, images)
        losses = model(images, samples, mode='loss')
        expected = 0
        for u, v, r in zip(teacher, own, model.mimic.transforms, strict=True):
            expected = expected + ((u - r.conv(v)) ** 2).mean() / 2
        torch.testing.assert_close(losses['loss_mimic'], 3.0 * expected / 3)

    def test_the_rest_is_the_students_own(self, student, ssd, batch):
        images, samples = packed(batch)
        own = copy.deepcopy(student)(images, packed(batch)[1], mode='loss')
        losses = attach(student, ssd, 'proposals').train()(images, samples, mode='loss')
        assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_mimic'}
        for name, values in own.items():
            for value, expected in zip(losses[name], values, strict=True):
                torch.testing.assert_close(value, expected)
        assert losses['loss_mimic'].dtype == torch.float32

    def test_weight_of_the_students_own(self, student, ssd, batch):
        images, samples = packed(batch)
        own = copy.deepcopy(student)(images, packed(batch)[1], mode='loss')
        model = attach(student, ssd, detector_weight=0.25).train()
        losses = model(images, samples, mode='loss')
        for value, expected in zip(losses['loss_cls'], own['loss_cls'], strict=True):
            torch.testing.assert_close(value, 0.25 * expected)

    @pytest.mark.parametrize('levels', ['own', 'all'])
    def test_regions_by_hand(self, student, ssd, batch, levels):
        """Region by region on the maps of strides 16, 32 and 64, cell by cell."""
        images, samples = packed(batch)
        model = attach(student, ssd, 'proposals', levels).train()
        sampler = model.mimic.regions.sampler
        teacher = ssd.extract_feat(images)
        own = features(student, images)
        with Taps(student, sampler.paths) as taps, model.mimic.regions.watch():
            copied = copy.deepcopy(student.state_dict())
            student(images, packed(batch)[1], mode='loss')
        student.load_state_dict(copied)
        rois = model.mimic.regions.choose(taps, packed(batch)[1])
        anchors = student.bbox_head.prior_generator.base_anchors
        sizes = [{tuple((a[2:] - a[:2]).round().tolist()) for a in level} for level in anchors]
        sums, count = 0.0, 0
        for level, (u, v, r) in enumerate(zip(teacher, own, model.mimic.transforms, strict=True)):
            square = ((u - r.conv(v)) ** 2).sum(1)
            stride = 16 * 2**level
            for image, x1, y1, x2, y2 in rois.tolist():
                size = tuple(torch.tensor([x2 - x1, y2 - y1]).round().tolist())
                if levels == 'own' and size not in sizes[level]:
                    continue
                side = square.shape[-1]
                inside = [
                    (i, j)
                    for i in range(side)
                    for j in range(side)
                    if x1 <= (j + 0.5) * stride < x2 and y1 <= (i + 0.5) * stride < y2
                ]
                if not inside:
                    middle = [(y1 + y2) / 2, (x1 + x2) / 2]
                    inside = [tuple(min(max(int(m // stride), 0), side - 1) for m in middle)]
                mean = sum(float(square[int(image), i, j]) for i, j in inside)
                sums += mean / (u.size(1) * len(inside))
                count += 1
        assert count == len(rois) * (1 if levels == 'own' else 3)
        value = model(images, samples, mode='loss')['loss_mimic']
        assert float(value) == pytest.approx(sums / (2 * count), rel=1e-4)

    def test_two_stages(self, batch):
        student, teacher = build(two_stage_config()), build(two_stage_config())
        images, samples = packed(batch)
        model = attach(student, teacher, 'proposals', outputs=2.0).train()
        losses = model(images, samples, mode='loss')
        names = {'loss_mimic', 'loss_mimic_cls', 'loss_mimic_box'}
        assert names < set(losses)
        total(losses).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        assert all(p.grad is None for p in teacher.parameters())

    def test_equal_detectors_lose_nothing(self, ssd, batch):
        """The student is the teacher: without a transform both maps are the same."""
        student = copy.deepcopy(ssd)
        for module in student.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        model = attach(student, ssd, 'map', transform='none')
        images, samples = packed(batch)
        assert float(model(images, samples, mode='loss')['loss_mimic'].detach()) < 1e-10


class TestImageScale:
    def test_the_student_sees_small_images(self, student, ssd, batch):
        """As if the student were trained on the small images by itself."""
        images, samples = packed(batch)
        own = copy.deepcopy(student)(images, packed(batch)[1], mode='loss')
        large = torch.nn.functional.interpolate(images, scale_factor=2)
        for sample in samples:
            sample.gt_instances = copy.deepcopy(sample.gt_instances)
            sample.gt_instances.bboxes = sample.gt_instances.bboxes * 2
            shape = (128, 128)
            sample.set_metainfo(dict(img_shape=shape, pad_shape=shape, batch_input_shape=shape))
        model = attach(student, ssd, image_scale=0.5, transform='deconv').train()
        losses = model(large, samples, mode='loss')
        for name in ('loss_cls', 'loss_bbox'):
            for value, expected in zip(losses[name], own[name], strict=True):
                torch.testing.assert_close(value, expected)

    @pytest.mark.parametrize('transform', ['deconv', 'resize'])
    def test_teacher_by_hand(self, student, ssd, batch, transform):
        images, samples = packed(batch)
        large = torch.nn.functional.interpolate(images, scale_factor=2)
        teacher = ssd.eval().extract_feat(large)
        own = features(student, images)
        model = attach(student, ssd, image_scale=0.5, transform=transform).train()
        for sample in samples:
            shape = (128, 128)
            sample.set_metainfo(dict(img_shape=shape, pad_shape=shape, batch_input_shape=shape))
        expected = 0
        for u, v, r in zip(teacher, own, model.mimic.transforms, strict=True):
            expected = expected + ((u - r(v, u.shape[-2:])) ** 2).mean() / 2 / 3
        value = model(large, samples, mode='loss')['loss_mimic']
        torch.testing.assert_close(value, expected)


class TestStudentIsPlain:
    def test_weights(self, student, ssd):
        own = list(student.state_dict())
        model = attach(student, ssd)
        state = list(model.state_dict())
        assert [k.removeprefix('detector.') for k in state if k.startswith('detector.')] == own
        rest = [k for k in state if not k.startswith('detector.')]
        assert rest and all(k.startswith('attachments.mimic.transforms.') for k in rest)
        frozen = {id(p) for p in ssd.parameters()}
        assert not frozen & {id(p) for p in model.parameters()}

    def test_gradients_and_steps(self, student, ssd, batch):
        model = attach(student, ssd, 'proposals').train()
        before = copy.deepcopy(ssd.state_dict())
        own = {name: value.clone() for name, value in model.named_parameters()}
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
        images, samples = packed(batch)
        raw = dict(inputs=list((images * 20 + 100).clamp(0, 255)), data_samples=samples)
        log = model.train_step(raw, wrapper)
        parts = [log[name] for name in ('loss_cls', 'loss_bbox', 'loss_mimic')]
        torch.testing.assert_close(log['loss'], sum(parts))
        changed = {n for n, value in model.named_parameters() if not torch.equal(value, own[n])}
        assert {n for n in own if n.startswith('attachments.')} <= changed
        assert {n for n in own if 'bbox_head' in n} <= changed
        assert any('backbone.layer4' in n for n in changed)
        for key, value in before.items():
            assert torch.equal(ssd.state_dict()[key], value), key
        assert not ssd.training

    def test_every_parameter_has_a_gradient_without_objects(self, student, ssd, batch):
        """Or several ranks would wait for each other."""
        images, samples = packed(batch)
        model = attach(student, ssd, 'ground_truth').train()
        total(model(images[2:], samples[2:], mode='loss')).backward()
        transforms = list(model.mimic.transforms.parameters())
        assert transforms and all((p.grad == 0).all() for p in transforms)

    def test_predictions_are_the_students_own(self, student, ssd, batch):
        images, samples = packed(batch)
        model = attach(student, ssd).eval()
        alone = copy.deepcopy(student).eval()
        with torch.no_grad():
            found = model(images, copy.deepcopy(samples), mode='predict')
            expected = alone(images, copy.deepcopy(samples), mode='predict')
        assert sum(len(sample.pred_instances) for sample in expected) > 0
        for one, other in zip(found, expected, strict=True):
            for key in ('bboxes', 'scores', 'labels'):
                assert torch.equal(one.pred_instances[key], other.pred_instances[key])

    def test_attributes_are_the_students(self, student, ssd):
        model = attach(student, ssd)
        assert model.bbox_head is student.bbox_head
        model.bbox_head.use_l1 = True  # what a hook of YOLOX does
        assert student.bbox_head.use_l1
        assert not hasattr(model, 'roi_head')

    def test_average_of_the_weights(self, student, ssd, batch):
        """mmengine's EMA copies what trains; the copy has the same teacher and its own head."""
        model = attach(student, ssd, 'proposals').train()
        average = ExponentialMovingAverage(model, momentum=0.5)
        copied = average.module
        assert copied.mimic.teacher is model.mimic.teacher
        assert copied.mimic.regions.sampler.head is copied.detector.bbox_head
        images, samples = packed(batch)
        torch.testing.assert_close(
            copied(images, samples, mode='loss')['loss_mimic'],
            model(images, samples, mode='loss')['loss_mimic'],
        )

    def test_nothing_is_left_in_the_student(self, student, ssd, batch):
        names = [name for name, _ in student.named_modules()]
        model = attach(student, ssd, 'proposals').train()
        images, samples = packed(batch)
        model(images, samples, mode='loss')
        del model
        assert [name for name, _ in student.named_modules()] == names
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.modules())
        assert 'sample' not in vars(student.bbox_head.sampler)

    def test_full_precision(self, student, ssd, batch):
        images, samples = packed(batch)
        model = attach(student, ssd, 'proposals').train()
        with torch.autocast('cpu', torch.bfloat16):
            losses = model(images, samples, mode='loss')
        assert losses['loss_mimic'].dtype == torch.float32
        assert torch.isfinite(losses['loss_mimic'])
