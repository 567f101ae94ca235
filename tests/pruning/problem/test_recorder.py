"""What is still in use of a pass when a layer begins, on networks small enough to tell by eye."""

import pytest
import torch
from torch import nn

from mmdet_lcp.pruning.problem.recorder import Recorder, replayed, size_of

IMAGES = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """The stem is read by the next layer alone, `side` again behind the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.side = nn.Conv2d(4, 4, 1)
        self.next = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 4, 1)
        self.runs: list[str] = []
        for name, layer in self.named_children():
            layer.register_forward_hook(lambda *_, name=name: self.runs.append(name))

    def forward(self, images):
        x = self.stem(images)
        side = self.side(x)
        x = self.next(x)
        return self.last(x) + side


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@torch.no_grad()
def recorded(net, layer):
    with Recorder(net, [layer]) as recorder:
        expected = net(IMAGES)
    return recorder, expected


def test_what_is_in_use(net):
    recorder, _ = recorded(net, net.last)
    outputs = recorder.outputs()
    assert recorder.began == [net.last]
    assert set(outputs) == {net.stem, net.side, net.next}
    kept = {module for module, (run,) in outputs.items() if not run.forgotten}
    assert net.side in kept and net.next in kept
    with torch.no_grad():
        torch.testing.assert_close(outputs[net.side][0].value, net.side(net.stem(IMAGES)))


def test_the_rest_again(net):
    """Replayed, the layers before do not run, and the pass gives the same."""
    recorder, expected = recorded(net, net.last)
    net.runs.clear()
    with torch.no_grad(), replayed(recorder.outputs()):
        found = net(IMAGES)
    assert torch.equal(found, expected)
    assert net.runs == ['stem', 'side', 'next', 'last']  # hooks are called, forwards are not
    assert all('forward' not in vars(layer) for layer in net.children())


def test_other_weights_before_make_no_difference(net):
    recorder, expected = recorded(net, net.last)
    with torch.no_grad():
        net.stem.weight.zero_()
        with replayed(recorder.outputs()):
            assert torch.equal(net(IMAGES), expected)
        assert not torch.equal(net(IMAGES), expected)


def test_what_nobody_holds_is_nan():
    """In a chain only the layer before is in use; what was before that takes no room."""
    torch.manual_seed(0)
    chain = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4))).eval()
    recorder, expected = recorded(chain, chain[3])
    outputs = recorder.outputs()
    assert [outputs[chain[i]][0].forgotten for i in range(3)] == [True, True, False]
    assert bool(outputs[chain[0]][0].value.isnan().all())
    assert size_of(outputs) == 4 + 4 + IMAGES.numel() * 4
    with torch.no_grad(), replayed(outputs):
        assert torch.equal(chain(IMAGES), expected)


def test_a_layer_that_never_begins(net):
    recorder, _ = recorded(net, nn.Identity())
    assert recorder.outputs() == {} and recorder.began == []
