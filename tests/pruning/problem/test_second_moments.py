"""Second moments of layers that run several times, and on regions, in NumPy."""

import numpy as np
import pytest
import torch
from ranks import be_the_other_rank, on_two_ranks
from torch import nn

from mmdet_lcp.pruning.problem.layer import Layer
from mmdet_lcp.pruning.problem.parts import reading_together
from mmdet_lcp.pruning.problem.problem import SelectionProblem
from mmdet_lcp.pruning.problem.second_moments import _chosen
from mmdet_lcp.pruning.problem.selection_batch import BatchCache, SelectionBatch
from mmdet_lcp.seeds import derive
from mmdet_lcp.selection.positions import Positions

OBJECTS = Positions(objects=0.6, context=1.0)


def problem_of(consumers, batches, positions=None):
    channels = 3
    return SelectionProblem(
        'g',
        channels,
        {
            path: Layer(module, torch.arange(channels), torch.arange(channels))
            for path, module in consumers.items()
        },
        {},
        BatchCache(lambda: batches),
        positions=positions or Positions(objects=0.0),
    )


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def pyramid(images: int, seed: int = 0):
    """A convolution on maps of two sizes, with what it wrote in the original detector."""
    conv = nn.Conv2d(3, 2, 3, stride=2, padding=1).double()
    maps = [randn(images, 3, 6, 8, seed=seed), randn(images, 3, 3, 4, seed=seed + 1)]
    written = [randn(images, 2, 3, 4, seed=seed + 2), randn(images, 2, 2, 2, seed=seed + 3)]
    return conv, maps, written


def rows_by_hand(x, y, weights):
    """Rows under a 3x3 kernel of stride 2 with padding 1; weights of the positions of an image."""
    x = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for image in range(len(x)):
        for row in range(y.shape[2]):
            for column in range(y.shape[3]):
                patch = x[image, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                yield (
                    image,
                    patch.flatten(),
                    y[image, :, row, column].numpy(),
                    weights[row, column],
                )


@pytest.mark.parametrize('objects', [False, True])
def test_all_runs_of_a_shared_layer_count(objects):
    """Each run with its share of the layer's outputs: 24 and 8 of 32; every fourth held out."""
    conv, maps, written = pyramid(images=5)
    # One object each, over the left half of the image: of both maps.
    boxes = [torch.tensor([[0, 0, 32, 48.0]])] * 5
    batch = SelectionBatch(
        {'c': maps}, {'c': written}, None, boxes=boxes if objects else None, img_shape=(48, 64)
    )
    problem = problem_of({'c': conv}, [batch], OBJECTS if objects else None)
    found = problem.moments()['c']
    sums = [dict(w=0.0, x=0.0, y=0.0, xx=0.0, xy=0.0, yy=0.0) for _ in range(2)]
    for run, share in enumerate([0.75, 0.25]):
        height, width = written[run].shape[2:]
        weights = np.full((height, width), 1 / (height * width))
        if objects:
            inside = np.zeros((height, width))
            inside[:, : width // 2] = 1 / (height * (width // 2))
            weights = 0.4 * weights + 0.6 * inside
        for image, x, y, weight in rows_by_hand(maps[run], written[run], weights * share):
            into = sums[int(image == 3)]
            into['w'] += weight
            into['x'] += weight * x
            into['y'] += weight * y
            into['xx'] += weight * np.outer(x, x)
            into['xy'] += weight * np.outer(x, y)
            into['yy'] += weight * y**2
    for moments, expected in zip(found, sums, strict=True):
        for key, name in dict(w='weight', x='x', y='y', xx='xx', xy='xy', yy='yy').items():
            np.testing.assert_allclose(
                getattr(moments, name).numpy(), expected[key], rtol=1e-6, atol=1e-8
            )
    assert float(found[0].weight + found[1].weight) == pytest.approx(5)


def test_regions_are_held_out_with_their_image():
    """Nine regions of five images through a convolution and a linear layer, in two batches."""
    conv, fc = nn.Conv2d(3, 2, 1).double(), nn.Linear(3, 4).double()
    whose = [torch.tensor([0, 1, 0, 2]), torch.tensor([1, 1, 0, 0, 1])]
    numbers = np.array([0, 1, 0, 2, 4, 4, 3, 3, 4])  # the second batch begins at image 3
    crops, rows = randn(9, 3, 2, 2), randn(9, 3, seed=1)
    batches = [
        SelectionBatch(
            {'conv': crops[part], 'fc': rows[part]},
            {'conv': conv(crops[part]).detach(), 'fc': fc(rows[part]).detach()},
            None,
            boxes=[torch.tensor([[0, 0, 9, 9.0]])] * count,
            owners={'conv': [owner], 'fc': [owner]},
        )
        for part, owner, count in ((slice(4), whose[0], 3), (slice(4, 9), whose[1], 2))
    ]
    problem = problem_of({'conv': conv, 'fc': fc}, batches, OBJECTS)
    found = problem.moments()
    for path, x in (('conv', crops.flatten(2).transpose(1, 2)), ('fc', rows[:, None])):
        x = x.numpy()
        for moments, part in zip(found[path], (numbers % 4 != 3, numbers % 4 == 3), strict=True):
            expected = np.einsum('npi,npj->ij', x[part], x[part]) / x.shape[1]
            np.testing.assert_allclose(moments.xx.numpy(), expected, atol=1e-10)
            assert float(moments.weight) == pytest.approx(part.sum())


def test_tokens():
    """A linear layer on (N, tokens, channels): an image's tokens share its weight."""
    fc, x = nn.Linear(3, 2).double(), randn(3, 7, 3)
    batch = SelectionBatch({'fc': x}, {'fc': fc(x).detach()}, None)
    fit, held = problem_of({'fc': fc}, [batch]).moments()['fc']
    assert fit is held
    expected = np.einsum('npi,npj->ij', x.numpy(), x.numpy()) / 7
    np.testing.assert_allclose(fit.xx.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize('objects', [False, True])
def test_a_linear_layer_on_maps(objects):
    """(N, H, W, C), as in ConvNeXt: each position is a row, weighed as in any map."""
    fc, x, y = nn.Linear(3, 2).double(), randn(5, 4, 6, 3), randn(5, 4, 6, 2, seed=1)
    boxes = [torch.tensor([[0, 0, 24, 32.0]])] * 5 if objects else None  # the left half
    batch = SelectionBatch({'fc': x}, {'fc': y}, None, boxes=boxes, img_shape=(32, 48))
    found = problem_of({'fc': fc}, [batch], OBJECTS if objects else None).moments()['fc']
    weights = np.full((4, 6), 1 / 24)
    if objects:
        weights = 0.4 * weights
        weights[:, :3] += 0.6 / 12
    for moments, images in zip(found, ([0, 1, 2, 4], [3]), strict=True):
        rows, written = (v[images].reshape(-1, v.shape[-1]).numpy() for v in (x, y))
        share = np.tile(weights.flatten(), len(images))
        for name, expected in dict(
            weight=len(images),
            x=share @ rows,
            y=share @ written,
            xx=rows.T @ (share[:, None] * rows),
            xy=rows.T @ (share[:, None] * written),
            yy=share @ written**2,
        ).items():
            np.testing.assert_allclose(getattr(moments, name).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('shape', [(2, 4, 6), (2, 24)])
def test_positions_of_a_linear_layer_are_drawn_by_their_weights(shape):
    """Each of 24 positions has a channel of its own: the moments count how often each is drawn."""
    fc = nn.Linear(24, 1).double()
    x = torch.eye(24).double().expand(2, 24, 24).reshape(*shape, 24)
    batch = SelectionBatch({'fc': x}, {'fc': fc(x).detach()}, None)
    positions = Positions(objects=0.0, per_image=20)
    fit, _ = problem_of({'fc': fc}, [batch], positions).moments()['fc']
    counts = fit.xx.diagonal() * 20
    assert float(fit.weight) == pytest.approx(2) and float(counts.sum()) == pytest.approx(40)
    np.testing.assert_allclose(counts.numpy(), counts.round().numpy(), atol=1e-9)
    assert not fit.xx.triu(1).any()  # a row is one position, not several


@pytest.mark.parametrize(('shape', 'squares'), [((4, 3), [1.0, 0, 0, 1]), ((12,), [0.0, 2, 0])])
def test_saliency_of_a_linear_layer(shape, squares):
    """By the squared gradients at the positions; of another number of queries, none."""
    fc = nn.Linear(3, 2).double()
    x = randn(1, *shape, 3)
    square = torch.tensor(squares).repeat_interleave(3 if len(squares) == 4 else 1)[None]
    batch = SelectionBatch(
        {'fc': x}, {'fc': fc(x).detach()}, None, boxes=[torch.empty(0, 4)], img_shape=(32, 32),
        sensitivity={'fc': [square]},
    )  # fmt: skip
    positions = Positions(objects=0.0, saliency=1.0)
    fit, _ = problem_of({'fc': fc}, [batch], positions).moments()['fc']
    rows = x.reshape(12, 3).numpy()
    share = np.full(12, 1 / 12) if square.shape[1] != 12 else (square[0] / square.sum()).numpy()
    np.testing.assert_allclose(fit.xx.numpy(), rows.T @ (share[:, None] * rows), atol=1e-9)


@pytest.mark.parametrize('per_image', [12, 11])
@pytest.mark.parametrize('alike', [True, False])
def test_heads_that_read_the_same_rows_have_one_matrix(per_image, alike):
    """All 12 positions, or 11 drawn for both; not if one head takes steps of another length."""
    strides = {'a': 2, 'b': 2 if alike else (2, 1)}
    heads = {
        name: nn.Conv2d(3, 2, 3, stride=stride, padding=1).double()
        for name, stride in strides.items()
    }
    x = randn(4, 3, 6, 8)
    written = {name: [randn(*heads[name](x).shape, seed=seed)] for seed, name in enumerate('ab')}
    batch = SelectionBatch({name: [x] for name in 'ab'}, written, None)
    problem = problem_of(heads, [batch], Positions(objects=0.0, per_image=per_image))
    moments = problem.moments()
    together = reading_together(problem.parts(), moments)
    assert together == ([['a', 'b']] if alike else [['a'], ['b']])
    for a, b in zip(moments['a'], moments['b'], strict=True):
        assert (a.xx is b.xx) == alike
        assert not torch.equal(a.xy, b.xy)
    problem.consumers['b'].root = torch.tensor([0, 2, 1])  # reads other channels in these rows
    assert reading_together(problem.parts(), moments) == [['a'], ['b']]


@pytest.mark.parametrize('apart_from', [1, 2])
def test_heads_whose_rows_part_on_a_later_batch_have_their_own_sums(apart_from):
    """What each would have by itself; the first batches are the same map for both."""
    heads = {name: nn.Conv2d(3, 2, 1).double() for name in 'ab'}
    batches = []
    for number in range(3):
        x = randn(2, 3, 2, 4, seed=number)
        reads = {'a': [x], 'b': [x if number < apart_from else randn(2, 3, 2, 4, seed=9)]}
        written = {name: [randn(2, 2, 2, 4, seed=number + 5)] for name in 'ab'}
        batches.append(SelectionBatch(reads, written, None))
    both = problem_of(heads, batches).moments()
    for name, head in heads.items():
        alone = problem_of({name: head}, batches).moments()[name]
        for some, expected in zip(both[name], alone, strict=True):
            for field in ('weight', 'x', 'y', 'xx', 'xy', 'yy'):
                torch.testing.assert_close(getattr(some, field), getattr(expected, field))


# ------------------------------------------------------------------------------- several ranks


def moments_of(images: slice, batch_size: int) -> dict[str, torch.Tensor]:
    """Sums over some of nine images, of maps from which positions are drawn."""
    conv = nn.Conv2d(3, 2, 3, padding=1).double()
    x, y = randn(9, 3, 12, 12)[images], randn(9, 2, 12, 12, seed=1)[images]
    batches = [
        SelectionBatch({'conv': a}, {'conv': b}, None)
        for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True)
    ]
    fit, held = problem_of(
        {'conv': conv}, batches, Positions(objects=0.0, per_image=20)
    ).moments()['conv']
    assert fit.xx is not held.xx
    return {
        f'{name}.{field}': getattr(some, field)
        for name, some in (('fit', fit), ('held', held))
        for field in ('weight', 'x', 'y', 'xx', 'xy', 'yy')
    }


def of_rank(rank: int) -> dict[str, torch.Tensor]:
    return moments_of(slice(rank, None, 2), 2)


def test_two_ranks_look_where_one_does(tmp_path):
    """The images are dealt out in turn, and in batches of another size."""
    ours, theirs = on_two_ranks(of_rank, __file__, tmp_path)
    one = moments_of(slice(None), 5)
    assert float(one['held.weight']) == pytest.approx(2)  # images 3 and 7 of nine
    for name, expected in one.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-12, atol=1e-12)
        assert torch.equal(ours[name], theirs[name])


if __name__ == '__main__':
    be_the_other_rank(of_rank)


def test_a_position_drawn_several_times_counts_as_often():
    random = np.random.default_rng(0)
    weights = torch.tensor(random.uniform(size=(3, 50)) ** 8)
    owners = torch.tensor([4, 7, 4])  # two items of one image
    places, shares = _chosen(weights, 40, owners, (3, 1))
    for item, (owner, seen) in enumerate([(4, 0), (7, 0), (4, 1)]):
        generator = torch.Generator().manual_seed(derive(3, 'positions', owner, 1, seen))
        drawn = torch.multinomial(weights[item], 40, replacement=True, generator=generator)
        counts = np.bincount(drawn.numpy(), minlength=50)
        found = np.bincount(places[item].numpy(), shares[item].numpy(), minlength=50)
        np.testing.assert_allclose(found, counts / 40)
        assert (shares[item] > 0).sum() == (counts > 0).sum() < 40
    assert places.shape == shares.shape


def test_places_that_fill_up_a_shorter_image_are_not_looked_at():
    """The first image always draws one place; what is nan elsewhere in it does not matter."""
    conv = nn.Conv2d(3, 2, 1)
    inputs, outputs = torch.randn(4, 3, 8, 8), torch.randn(4, 2, 8, 8)
    inputs[0, :, 0, 0] = torch.nan
    squares = torch.ones(4, 64)
    squares[0] = 0
    squares[0, 9] = 1.0
    batch = SelectionBatch(
        {'c': inputs},
        {'c': outputs},
        None,
        boxes=[torch.empty(0, 4)] * 4,
        img_shape=(8, 8),
        sensitivity={'c': [squares]},
    )
    positions = Positions(per_image=20, objects=0.0, saliency=1.0)
    found = problem_of({'c': conv}, [batch], positions).moments()['c']
    assert all(torch.isfinite(moments.xx).all() for moments in found)
    assert float(found[0].weight) == pytest.approx(3)
