"""Operations against numbers: which inputs of a layer a channel of nan arrives at."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toys import Toy

from mmdet_lcp.graph import find_groups

CHANNELS, SIDE = 8, 4


def attention(m, x):
    return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def written_in_place(m, x):
    y = x.new_zeros(4, *x.shape[1:])
    y[torch.tensor([2, 0])] = torch.cat([x, x])
    y += 1
    return y.relu_()


def focus(m, x):
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1)


MAPS = {
    'nothing': lambda m, x: x,
    'flatten': lambda m, x: x.flatten(1),
    'channels last': lambda m, x: x.permute(0, 2, 3, 1).flatten(1),
    'tokens': lambda m, x: x.flatten(2).transpose(1, 2),
    'halves': lambda m, x: x.tensor_split(2, 1)[1],
    'channels one by one': lambda m, x: sum(x.split(1, 1)),
    'unequal parts': lambda m, x: torch.cat(x.split([3, 5], 1)[::-1], 1),
    'every other': lambda m, x: x[:, 1::2],
    'picked': lambda m, x: x[:, [5, 1, 6]],
    'picked by a mask': lambda m, x: x[:, torch.arange(CHANNELS) % 3 == 0],
    'index_select': lambda m, x: x.index_select(1, torch.tensor([7, 0, 0])),
    'pixel shuffle': lambda m, x: F.pixel_shuffle(x, 2),
    'focus': focus,
    'twice': lambda m, x: torch.cat([x, x.relu()], 1),
    'reversed twice': lambda m, x: torch.cat([x, x.flip(1)], 1),
    'rolled onto itself': lambda m, x: x + x.roll(4, 1),
    'folded': lambda m, x: x[:, :4] * x[:, 4:].sigmoid(),
    'attention': attention,
    'pooled': lambda m, x: F.max_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2), 3, 1, 1),
    'pyramid': lambda m, x: F.interpolate(F.adaptive_avg_pool2d(x, 2), scale_factor=2.0) + x,
    'bilinear': lambda m, x: F.interpolate(x, size=(3, 5), mode='bilinear'),
    'padded channels': lambda m, x: F.pad(x, (0, 0, 0, 0, 2, 1)),
    'stacked and summed': lambda m, x: torch.stack([x, 2 * x], 0).sum(0),
    'stacked apart': lambda m, x: torch.stack([x, -x], 1).flatten(1, 2),
    'parts added up': lambda m, x: x.unflatten(1, (2, 4)).sum(1),
    'border repeated': lambda m, x: F.pad(x, (1, 2, 0, 1), mode='replicate'),
    'border reflected': lambda m, x: F.pad(x, (1, 2, 0, 1), mode='reflect'),
    'repeated': lambda m, x: x.repeat(1, 2, 1, 1),
    'written in place': written_in_place,
    'channels first': lambda m, x: x.unbind(0)[0].unsqueeze(0),
    'scaled': lambda m, x: torch.where(x > 0, x.exp() / 2, x.clamp(min=-1) ** 2),
}  # fmt: skip


class Between(nn.Module):
    """A convolution, operations without weights, and a layer that reads what they give."""

    def __init__(self, operations) -> None:
        super().__init__()
        self.operations = operations
        self.a = nn.Conv2d(3, CHANNELS, 1)
        y = operations(self, torch.rand(1, CHANNELS, SIDE, SIDE))
        self.out = nn.Conv2d(y.shape[1], 2, 1) if y.dim() == 4 else nn.Linear(y.shape[-1], 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.out(self.operations(self, self.a(inputs)))


@torch.no_grad()
def reads_by_nan(model) -> list[set[int]]:
    """For each input of the last layer, the channels that any of its values depends on."""
    columns = [set() for _ in range(model.out.weight.shape[1])]
    for channel in range(CHANNELS):
        written = torch.rand(1, CHANNELS, SIDE, SIDE)
        written[:, channel] = torch.nan
        read = model.operations(model, written)
        read = read.movedim(1, -1) if isinstance(model.out, nn.Conv2d) else read
        for column in read.flatten(0, -2).isnan().any(0).nonzero().flatten().tolist():
            columns[column].add(channel)
    return columns


@pytest.mark.parametrize('operations', MAPS.values(), ids=MAPS)
def test_index_maps(operations):
    torch.manual_seed(0)
    model = Between(operations)
    columns = reads_by_nan(model)
    # Channels that meet in one input go together.
    together = [{c} for c in range(CHANNELS)]
    for column in columns:
        meet = [s for s in together if s & column]
        together = [s for s in together if not s & column] + ([set.union(*meet)] if meet else [])
    expected = {
        frozenset(part): {i for i, column in enumerate(columns) if column & part}
        for part in together
    }
    found = {}
    for group in find_groups(model, (SIDE, SIDE)):
        if group.producers[0].path == 'a':
            assert len(group.consumers) <= 1
            for channel in range(group.channels):
                reads = [set(member.map([channel])) for member in group.consumers]
                part = frozenset(group.producers[0].map([channel]))
                found[part] = reads[0] if reads else set()
                if not reads or group.channels == 1:
                    assert group.obstacle
    assert found == expected


def shuffled(m, x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shuffled_the_other_way(m, x):
    n, c, h, w = x.shape
    return x.view(n, c // 2, 2, h, w).transpose(1, 2).reshape(n, c, h, w)


SHUFFLES = {
    # Channels that go together, by what the shuffle does to 0..7 (by hand).
    'in two parts': (shuffled, [{0, 4}, {1, 5}, {2, 6}, {3, 7}]),
    'in parts of two': (shuffled_the_other_way, [{0, 1}, {2, 3}, {4, 5}, {6, 7}]),
    "PyTorch's": (
        lambda m, x: F.channel_shuffle(x, 2), [{0, 4}, {1, 5}, {2, 6}, {3, 7}],
    ),
    'two halves': (
        lambda m, x: torch.cat(x.chunk(2, 1)[::-1], 1), [{0, 4}, {1, 5}, {2, 6}, {3, 7}],
    ),
    'the second half': (lambda m, x: x.chunk(2, -3)[1], [{0, 4}, {1, 5}, {2, 6}, {3, 7}]),
    'quarters': (lambda m, x: torch.cat(x.chunk(4, 1), 1), [{0, 2, 4, 6}, {1, 3, 5, 7}]),
    'halves by their sizes': (
        lambda m, x: torch.stack(x.split([x.shape[1] // 2] * 2, dim=1)).sum(0),
        [{0, 4}, {1, 5}, {2, 6}, {3, 7}],
    ),
}  # fmt: skip


@pytest.mark.parametrize(('operations', 'together'), SHUFFLES.values(), ids=SHUFFLES)
def test_parts_by_a_number_of_their_own(operations, together):
    """Each part has to lose its channel at the same place: 7 channels cannot be shuffled by 2."""
    torch.manual_seed(0)
    model = Between(operations)
    group = next(g for g in find_groups(model, (SIDE, SIDE)) if g.name == 'a')
    assert group.obstacle is None
    assert [set(group.producers[0].map([i])) for i in range(group.channels)] == together
    columns = reads_by_nan(model)
    for number, part in enumerate(together):
        reads = {i for i, column in enumerate(columns) if column & part}
        assert set(group.consumers[0].map([number])) == reads


def test_a_reshape_into_parts_of_parts():
    model = Between(lambda m, x: x.unflatten(1, (2, 2, 2)).transpose(1, 3).flatten(1, 3))
    group = next(g for g in find_groups(model, (SIDE, SIDE)) if g.name == 'a')
    assert group.obstacle == 'a reshape cuts them into parts of parts'


def test_halves_of_which_a_part_is_the_image():
    model = Toy(
        lambda m, x: m.out(torch.stack(torch.cat([x, m.a(x)], 1).chunk(2, 1), 1).flatten(1, 2)),
        a=nn.Conv2d(3, 5, 1),
        out=nn.Conv2d(8, 2, 1),
    )
    # Places 0 to 7 are the image's 3 and the layer's 5; place i lies beside i + 4.
    found = [(g.producers[0].index, g.obstacle) for g in find_groups(model, (SIDE, SIDE))[:2]]
    assert found == [
        ((0, 4), 'its 2 channels can only go all together'),
        ((1, 2, 3), 'a split puts them beside what no layer writes'),
    ]


def overwritten(m, x):
    y = torch.zeros(1, CHANNELS, SIDE, SIDE)
    y[:, 2:] = x[:, 2:]
    return y


UNKNOWN = {
    'softmax over channels': (lambda m, x: x.softmax(1), '_softmax runs over them'),
    'mean over channels': (lambda m, x: x * x.mean(1, keepdim=True), 'mean runs over them'),
    'largest channel': (lambda m, x: x - x.amax(1, keepdim=True), 'amax runs over them'),
    'sorted': (lambda m, x: x.sort(1).values, 'sort reads them, which cannot be followed'),
    'matrix product': (
        lambda m, x: torch.einsum('nchw,nchv->nhw', x, x).unsqueeze(1),
        'bmm reads them, which cannot be followed',
    ),
    'a kernel from elsewhere': (
        lambda m, x: F.conv2d(x, torch.ones(CHANNELS, CHANNELS, 1, 1)),
        'convolution reads them, which cannot be followed',
    ),
    'a part is overwritten': (overwritten, 'they are written into a part of another map'),
}  # fmt: skip


@pytest.mark.parametrize(('operation', 'reason'), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_followed_stays(operation, reason):
    def forward(m, x):
        y = operation(m, m.a(x))
        return m.out(y) if y.shape[1] == CHANNELS else y

    model = Toy(forward, a=nn.Conv2d(3, CHANNELS, 1), out=nn.Conv2d(CHANNELS, 2, 1))
    groups = [g for g in find_groups(model, (SIDE, SIDE)) if g.producers[0].path == 'a']
    assert any(reason in (group.obstacle or '') for group in groups)
