"""DCP's classifier of objects against NumPy."""

import numpy as np
import pytest
import torch
from made_detectors import packed
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from torch import nn

from mmdet_lcp import CompressionError
from mmdet_lcp.auxiliary import object_classifier
from mmdet_lcp.auxiliary.object_classifier import LayerClassifier, ObjectClassifier
from mmdet_lcp.registry import MODELS


def average_in_box(features, box, scale, bins, points):
    """RoIAlign of one box, all bins averaged: bilinear samples on an even grid, in NumPy."""
    channels, height, width = features.shape
    left, top, right, bottom = (v * scale - 0.5 for v in box)
    count = bins * points
    total = np.zeros(channels)
    for i in range(count):
        for j in range(count):
            y = top + (i + 0.5) * (bottom - top) / count
            x = left + (j + 0.5) * (right - left) / count
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            wy, wx = y - y0, x - x0
            total += (
                (1 - wy) * (1 - wx) * features[:, y0, x0]
                + (1 - wy) * wx * features[:, y0, x1]
                + wy * (1 - wx) * features[:, y1, x0]
                + wy * wx * features[:, y1, x1]
            )
    return total / count**2


@pytest.fixture
def classifier():
    torch.manual_seed(3)
    network = ObjectClassifier(5, 3, output_size=4, sampling_ratio=1).double().eval()
    nn.init.normal_(network.head.weight)
    nn.init.normal_(network.norm.running_mean)
    nn.init.uniform_(network.norm.running_var, 0.5, 2)
    for parameter in (network.norm.weight, network.norm.bias, network.head.bias):
        nn.init.normal_(parameter)
    return network


@pytest.fixture
def features():
    return torch.randn(3, 5, 8, 8, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture
def objects(batch):
    """Boxes of each image, labels of all."""
    _, instances, _ = batch
    boxes = [found.bboxes.double() for found in instances]
    return boxes, torch.cat([found.labels for found in instances])


@pytest.fixture
def samples(batch):
    _, samples = packed(batch)
    for sample in samples:
        sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()
    return samples


def array(tensor):
    return tensor.detach().numpy()


class TestNetwork:
    def test_pooling_and_loss_against_numpy(self, classifier, features, batch, objects):
        _, instances, _ = batch
        boxes, labels = objects
        pooled = classifier.pool(features, boxes, (64, 64))
        norm = classifier.norm
        mean, variance, weight, bias = (
            array(t).reshape(-1, 1, 1)
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        expected, entropies = [], []
        for image, found in enumerate(instances):
            x = (array(features[image]) - mean) / np.sqrt(variance + norm.eps) * weight + bias
            for box, label in zip(found.bboxes.tolist(), found.labels.tolist(), strict=True):
                crop = average_in_box(np.maximum(x, 0), box, 1 / 8, bins=4, points=1)
                logits = array(classifier.head.weight) @ crop + array(classifier.head.bias)
                expected.append(crop)
                entropies.append(np.log(np.exp(logits).sum()) - logits[label])
        np.testing.assert_allclose(array(pooled), np.stack(expected), rtol=1e-10)
        loss = classifier(features, boxes, labels, (64, 64))
        assert float(loss) == pytest.approx(np.mean(entropies), rel=1e-10)

    def test_several_points_a_bin(self, features, objects):
        """No norm yet, so that features are read as they are."""
        network = ObjectClassifier(5, 3, output_size=2, sampling_ratio=3).double().eval()
        found = network.pool(features, objects[0], (64, 64))
        boxes = [(n, box) for n, image in enumerate(objects[0]) for box in image.tolist()]
        scale = 1 / np.sqrt(1 + network.norm.eps)
        for row, (image, box) in zip(found, boxes, strict=True):
            positive = np.maximum(array(features[image]), 0) * scale
            expected = average_in_box(positive, box, 1 / 8, bins=2, points=3)
            np.testing.assert_allclose(array(row), expected, rtol=1e-10)

    def test_a_whole_image_is_dcps_average(self):
        """A box around everything, a sample in every pixel: global average pooling."""
        network = ObjectClassifier(5, 3, output_size=8, sampling_ratio=1).double().eval()
        features = torch.randn(2, 5, 8, 8).double()
        whole = [torch.tensor([[0.0, 0, 32, 32]]).double()] * 2
        pooled = network.pool(features, whole, (32, 32))
        expected = network.norm(features).relu().mean((2, 3))
        torch.testing.assert_close(pooled, expected)

    def test_gradient_is_that_of_finite_differences(self, classifier, objects):
        boxes, labels = objects
        features = torch.randn(3, 5, 4, 4).double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: classifier(x, boxes, labels, (64, 64)), (features,)
        )

    def test_images_without_objects(self, classifier):
        features = torch.randn(2, 5, 8, 8).double().requires_grad_(True)
        boxes = [torch.empty(0, 4).double()] * 2
        loss = classifier(features, boxes, torch.empty(0, dtype=torch.long), (64, 64))
        assert float(loss) == 0
        loss.backward()
        assert not features.grad.any()
        assert all(p.grad is not None and not p.grad.any() for p in classifier.head.parameters())

    def test_several_ranks_divide_by_their_mean_number_of_objects(
        self, classifier, features, objects, monkeypatch
    ):
        """Five objects here and nine on the other rank."""
        alone = float(classifier(features, *objects, (64, 64)))
        monkeypatch.setattr(object_classifier, 'reduce_mean', lambda count: (count + 9) / 2)
        assert float(classifier(features, *objects, (64, 64))) == pytest.approx(alone * 5 / 7)

    def test_is_registered_and_starts_near_uniform_scores(self, features, objects):
        torch.manual_seed(0)
        config = dict(type='mmdet_lcp.ObjectClassifier', in_channels=5, num_classes=20)
        network = MODELS.build(config).double()
        assert isinstance(network, ObjectClassifier)
        # with a class for the background it would be log(21), 0.049 more
        assert float(network(features, *objects, (64, 64))) == pytest.approx(np.log(20), abs=0.02)

    @pytest.mark.parametrize('key', ['output_size', 'sampling_ratio'])
    def test_out_of_range(self, key):
        with pytest.raises(CompressionError, match=f'{key}=0 .* at least 1'):
            ObjectClassifier(5, 3, **{key: 0})


class TestLayer:
    def loss(self, classifier, features, samples) -> float:
        layer = LayerClassifier(classifier, 'some.layer')
        return float(layer.losses({'some.layer': features}, samples)['loss_discrimination'])

    def test_reads_its_layer_alone(self, classifier, features, samples):
        layer = LayerClassifier(classifier, 'some.layer')
        assert layer.paths == ['some.layer']
        assert list(layer.losses({'some.layer': features, 'other': None}, samples)) == [
            'loss_discrimination'
        ]

    def test_labels_are_the_objects_own(self, classifier, features, samples):
        loss = self.loss(classifier, features, samples)
        parts = []
        for n, sample in enumerate(samples[:2]):
            for i in range(len(sample.gt_instances)):
                one = DetDataSample(metainfo=sample.metainfo)
                one.gt_instances = sample.gt_instances[i]
                parts.append(self.loss(classifier, features[n : n + 1], [one]))
        assert len(parts) == 5
        assert loss == pytest.approx(np.mean(parts), rel=1e-10)
        samples[0].gt_instances.labels = (samples[0].gt_instances.labels + 1) % 3
        assert abs(self.loss(classifier, features, samples) - loss) > 1e-3

    def test_boxes_of_mmdets_own_type(self, classifier, features, samples):
        loss = self.loss(classifier, features, samples)
        for sample in samples:
            sample.gt_instances.bboxes = HorizontalBoxes(sample.gt_instances.bboxes)
        assert self.loss(classifier, features, samples) == loss

    def test_pixels_are_those_of_the_padded_batch(self, classifier, features, samples, objects):
        """Twice as large as the images: a cell of the map spans 16 pixels, not 8."""
        for sample in samples:
            sample.set_metainfo(dict(batch_input_shape=(128, 128)))
        crops = []
        for image, boxes in zip(features, objects[0], strict=True):
            x = array(classifier.relu(classifier.norm(image[None])))[0]
            crops += [average_in_box(x, box, 1 / 16, 4, 1) for box in boxes.tolist()]
        logits = np.stack(crops) @ array(classifier.head.weight).T + array(classifier.head.bias)
        own = logits[np.arange(5), objects[1].numpy()]
        expected = (np.log(np.exp(logits).sum(1)) - own).mean()
        assert self.loss(classifier, features, samples) == pytest.approx(expected, rel=1e-10)
