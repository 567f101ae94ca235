"""What attachments add to the loss of a selection: frozen copies, under the names of the logs."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmdet_lcp.auxiliary.attached_detector import Attachment, LayerAuxiliary
from mmdet_lcp.auxiliary.loss_terms import AttachmentTerm, AuxiliaryTerm
from mmdet_lcp.selection.images import SelectionImages
from mmdet_lcp.selection.loss_term import Candidate


class Network(nn.Module):
    """In the place of an auxiliary network: says which features and samples it was given."""

    def __init__(self, cls_weight=1.0, box_weight=1.0):
        super().__init__()
        self.loss = SimpleNamespace(cls_weight=cls_weight, box_weight=box_weight)
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, features, samples):
        value = self.factor * features.sum() + samples
        return {'loss_aux_cls': value, 'loss_aux_box': 10 * value}


class Scaled(Attachment):
    """Reads one layer; counts the images' ground truth."""

    def __init__(self):
        super().__init__()
        self.paths = ['later']
        self.factor = nn.Parameter(torch.tensor(2.0))

    def losses(self, taps, data_samples):
        return {'loss_scaled': self.factor * taps['later'].sum() + len(data_samples)}


def candidate() -> Candidate:
    outputs = {'first': [torch.tensor([1.0]), torch.tensor([5.0])], 'second': [torch.ones(9)]}
    images = SelectionImages(torch.zeros(2, 3, 4, 4), None, [1, 2])
    taps = {'later': torch.tensor([3.0, 4.0])}
    return Candidate(dict.fromkeys(outputs), {}, images, 100, outputs.get, lambda: taps)


@pytest.mark.parametrize(
    ('off', 'expected'),
    [
        ({}, {'classification': 102.0, 'regression': 1020.0}),
        (dict(cls_weight=0.0), {'regression': 1020.0}),
        (dict(box_weight=0.0), {'classification': 102.0}),
    ],
)
def test_the_network_reads_the_first_run_of_the_first_layer(off, expected):
    term = AuxiliaryTerm(Network(**off))
    assert term.losses(candidate()) == expected
    assert not term.paths  # the detector need not run


def test_an_attachment_reads_the_detector():
    term = AttachmentTerm(Scaled(), weight=3.0)
    assert (list(term.paths), term.weight) == (['later'], 3.0)
    assert term.losses(candidate()) == {'scaled': 16.0}


@pytest.mark.parametrize(
    ('attachment', 'kind'),
    [
        (Scaled(), AttachmentTerm),
        (LayerAuxiliary(Network(), SimpleNamespace(paths=[]), 'first'), AuxiliaryTerm),
    ],
)
def test_a_selection_gets_frozen_copies(attachment, kind):
    (term,) = attachment.for_selection()
    assert type(term) is kind and term.weight == 1.0
    before = {name: float(value) for name, value in term.losses(candidate()).items()}
    assert not any(value.requires_grad for value in term.losses(candidate()).values())
    with torch.no_grad():
        for parameter in attachment.parameters():
            assert parameter.requires_grad
            parameter += 1
    assert attachment.training
    assert term.losses(candidate()) == before
