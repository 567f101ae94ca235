"""What runs before some layers, against the same model without any shortcut."""

import pytest
import torch
from torch import nn

from mmdet_lcp.pruning.problem.upstream import record_upstream


class Count(nn.Module):
    """Runs another module and counts how often."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.runs = inner, 0

    def forward(self, x, *, scale=1.0):
        self.runs += 1
        return self.inner(x) * scale


class Block(nn.Module):
    """Residual; changes in place what its last module has written."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = (
            Count(nn.Conv2d(width, width, 3, padding=1)),
            Count(nn.BatchNorm2d(width)),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.two(self.relu(self.one(x, scale=2.0)))
        out += x
        return self.relu(out)


class Model(nn.Module):
    """Stem, two blocks, a layer that changes, and a part that runs before and behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Count(nn.Conv2d(3, 4, 3, padding=1))
        self.blocks = nn.ModuleList([Block(4), Block(4)])
        self.often = Count(nn.Conv2d(4, 4, 1))
        self.changes = Count(nn.Conv2d(4, 4, 1))
        self.head = Count(nn.Conv2d(4, 2, 1))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.often(self.often(x))
        x = self.changes(x.relu_())
        return self.head(self.often(x))

    def runs(self) -> dict[str, int]:
        return {name: m.runs for name, m in self.named_modules() if isinstance(m, Count)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))


def test_the_same_values_and_gradients_without_what_comes_before(model, images):
    weight = model.changes.inner.weight
    upstream = record_upstream(model, lambda: model(images), [model.changes])
    for factor in (1.0, -0.5, 2.0):
        with torch.no_grad():
            weight.mul_(factor)
        wanted = model(images)
        before = model.runs()
        with upstream.replayed():
            found = model(images)
        after = model.runs()
        assert torch.equal(found, wanted)
        slopes = [torch.autograd.grad(out.square().mean(), weight)[0] for out in (found, wanted)]
        assert torch.equal(*slopes) and slopes[0].abs().max() > 0
        ran = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        # Of three runs the two before what changes are kept.
        assert ran == {'often': 1, 'changes': 1, 'head': 1}


MAP = 2 * 4 * 6 * 5 * 4  # images, channels, height, width, bytes
NAN = 4  # bytes of a map of nan


def states(upstream) -> dict[nn.Module, list[str]]:
    """Of each run: whether it is forgotten, may be written over, or is as it was."""
    return {
        module: ['nan' if run.forgotten else 'copied' if run.written else 'given' for run in runs]
        for module, runs in upstream.outputs.items()
    }


def test_the_outermost_modules_alone_are_kept(model, images):
    upstream = record_upstream(model, lambda: model(images), [model.changes])
    assert states(upstream) == {
        model.stem: ['nan'],
        **{block: ['nan'] for block in model.blocks},
        model.often: ['nan', 'copied'],  # a ReLU of the model itself writes over it
    }
    assert upstream.size == MAP + 4 * NAN
    assert upstream.layers == (model.changes,)


def test_what_is_written_over(model, images):
    """The last block's output is read alone; the convolution's becomes the ReLU's own."""
    upstream = record_upstream(model, lambda: model(images), [model.often])
    given = {model.stem: ['nan'], model.blocks[0]: ['nan'], model.blocks[1]: ['given']}
    assert states(upstream) == given
    assert upstream.layers == (model.often,) * 3
    upstream = record_upstream(model, lambda: model(images), [model.blocks[1].relu])
    assert states(upstream) == {
        model.stem: ['nan'],
        model.blocks[0]: ['given'],
        model.blocks[1].one: ['copied'],
    }
    expected = model(images)
    for _ in range(2):
        with upstream.replayed():
            assert torch.equal(model(images), expected)


class Grows(nn.Module):
    """Adds in place to what a layer has written, before another one that changes begins."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.changes = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.one(x)
        x += 1
        return self.changes(x) + x


def test_what_the_model_itself_writes_over_before(images):
    model = Grows().eval()
    upstream = record_upstream(model, lambda: model(images), [model.changes])
    assert states(upstream) == {model.one: ['copied']}
    expected = model(images)
    for _ in range(3):
        with upstream.replayed():
            assert torch.equal(model(images), expected)


def test_inside_a_block(model, images):
    """What has begun and not ended runs again, around what is kept."""
    block = model.blocks[1]
    upstream = record_upstream(model, lambda: model(images), [block.two])
    assert states(upstream) == {
        model.stem: ['nan'],
        model.blocks[0]: ['given'],
        block.one: ['given'],  # in the place of what the ReLU has made of it
        block.relu: ['given'],
    }
    expected = model(images)
    for _ in range(2):
        with upstream.replayed():
            assert torch.equal(model(images), expected)


def test_the_first_of_several_layers(model, images):
    layers = [model.head, model.blocks[1].one]
    upstream = record_upstream(model, lambda: model(images), layers)
    assert set(upstream.outputs) == {model.stem, model.blocks[0]}


def test_a_run_that_is_left_early(model, images):
    def run():
        with pytest.raises(ZeroDivisionError):
            hook = model.head.register_forward_pre_hook(lambda *_: 1 / 0)
            try:
                model(images)
            finally:
                hook.remove()

    upstream = record_upstream(model, run, [model.changes])
    assert set(upstream.outputs) == {model.stem, *model.blocks, model.often}


def test_the_model_stays_as_it_is(model, images):
    upstream = record_upstream(model, lambda: model(images), [model.changes])
    expected = model(images)
    with pytest.raises(ZeroDivisionError), upstream.replayed():
        model(images)
        raise ZeroDivisionError
    assert all('forward' not in vars(module) for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model(images), expected)


class PreActivated(nn.Module):
    """Its shortcut begins at what the ReLU has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.relu = Count(nn.Conv2d(3, 4, 1)), nn.ReLU(inplace=True)
        self.two, self.changes = Count(nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        shortcut = x = self.one(x)
        x = self.two(self.relu(x))
        return self.changes(x + shortcut)


def test_a_shortcut_from_what_is_changed_in_place(images):
    torch.manual_seed(0)
    model = PreActivated().eval()
    upstream = record_upstream(model, lambda: model(images), [model.changes])
    assert set(upstream.outputs) == {model.one, model.relu, model.two}
    expected = model(images)
    for _ in range(2):
        with upstream.replayed():
            assert torch.equal(model(images), expected)
    assert (model.one.runs, model.two.runs) == (2, 2)


class Named(nn.Module):
    """Writes a mapping and a tuple."""

    def forward(self, x):
        return {'maps': (x + 1, [x * 2])}


def test_nested_outputs():
    model = nn.Sequential(Named())
    model.changes = nn.Identity()
    x = torch.ones(2, 3)

    def run():
        found = model[0](x)
        return model.changes(found['maps'][0] + found['maps'][1][0])

    upstream = record_upstream(model, run, [model.changes])
    assert upstream.size == 2 * 6 * 4
    with upstream.replayed():
        assert torch.equal(run(), torch.full((2, 3), 4.0))


def test_nothing_comes_before(model, images):
    upstream = record_upstream(model, lambda: model(images), [model.stem])
    assert upstream.outputs == {} and upstream.size == 0
