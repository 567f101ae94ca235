"""The glossary's picture: a channel group, found in a small residual network and drawn over it.

python tools/dev/group_picture.py --out docs/channel_group.svg
"""

import argparse
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from torch import Tensor, nn

from mmdet_lcp.graph import ChannelGroup, find_groups

CHANNEL = 5  # that is followed through the group
# Layers by name, with their place in the picture; 'add' has none.
LAYERS: dict[str, tuple[nn.Module | None, tuple[float, float]]] = {
    'stem': (nn.Conv2d(3, 8, 3, padding=1), (0, 1)),
    'stem_bn': (nn.BatchNorm2d(8), (1, 1)),
    'conv1': (nn.Conv2d(8, 6, 3, padding=1), (2, 0)),
    'bn1': (nn.BatchNorm2d(6), (3, 0)),
    'conv2': (nn.Conv2d(6, 8, 3, padding=1), (4, 0)),
    'bn2': (nn.BatchNorm2d(8), (5, 0)),
    'add': (None, (6, 1)),
    'head': (nn.Conv2d(8, 4, 1), (7, 1)),
}
# Who reads whom; the order is that of execution.
EDGES = (
    ('stem', 'stem_bn'),
    ('stem_bn', 'conv1'),
    ('conv1', 'bn1'),
    ('bn1', 'conv2'),
    ('conv2', 'bn2'),
    ('stem_bn', 'add'),
    ('bn2', 'add'),
    ('add', 'head'),
)
# By role: what the channel is there, and colour.
ROLES = {
    'producers': ('writes it: filter {}', '#9ecbf2'),
    'norms': ('scales it: entry {}', '#cfe8c6'),
    'consumers': ('reads it: input {}', '#f7c58b'),
}
REST = '#ffffff'


class Residual(nn.Module):
    """The network that `LAYERS` and `EDGES` describe, called as a detector is."""

    def __init__(self) -> None:
        super().__init__()
        for name, (layer, _) in LAYERS.items():
            if layer is not None:
                self.add_module(name, layer)

    def forward(self, inputs: Tensor, data_samples: None = None, mode: str = 'tensor') -> Tensor:
        """Run all layers; batch norms are followed by ReLU, the addition too."""
        outputs: dict[str, Tensor] = {}
        for name in LAYERS:
            layer = getattr(self, name, None)
            read = [outputs[source] for source, reader in EDGES if reader == name] or [inputs]
            found = sum(read) if layer is None else layer(*read)
            outputs[name] = found if isinstance(layer, nn.Conv2d) else torch.relu(found)
        return outputs['head']


def traced_group() -> ChannelGroup:
    """The group of the channels that the addition joins."""
    groups = find_groups(Residual().eval(), (8, 8))
    return next(group for group in groups if group.name == 'stem')


def labels(group: ChannelGroup) -> dict[str, tuple[str, str]]:
    """What a group's channel is in each layer that it touches, and the layer's colour."""
    found = {}
    for role, (words, colour) in ROLES.items():
        for member in getattr(group, role):
            found[member.path] = words.format(member.index[CHANNEL]), colour
    return found


def draw(group: ChannelGroup) -> Figure:
    """The network, and the group's layers in colour."""
    shown = labels(group)
    reads = shown[group.consumers[0].path]  # what a consumer writes is no more of the group
    figure = Figure(figsize=(9.4, 2.7), facecolor='white', layout='constrained')
    axes = figure.add_subplot()
    axes.set_axis_off()
    places = {name: place for name, (_, place) in LAYERS.items()}
    width, height = 0.86, 0.5
    for source, reader in EDGES:
        (x, y), (to_x, to_y) = places[source], places[reader]
        ends = dict(xytext=(x + width / 2, y), xy=(to_x - width / 2, to_y))
        carried = source == 'add' or shown.get(source, reads) != reads
        axes.annotate(
            '',
            **ends,
            arrowprops=dict(
                arrowstyle='-|>',
                color='#1f5f99' if carried else '#9aa4ae',
                linewidth=2.0 if carried else 1.0,
                shrinkA=0,
                shrinkB=0,
            ),
        )
    for name, (x, y) in places.items():
        words, colour = shown.get(name, ('', REST))
        corner = (x - width / 2, y - height / 2)
        style = 'round,pad=0,rounding_size=0.06'
        axes.add_patch(FancyBboxPatch(corner, width, height, style, facecolor=colour))
        title = '+' if name == 'add' else name
        place = words.partition(': ')[2]
        axes.text(x, y + (0.1 if words else 0), title, ha='center', va='center', weight='bold')
        axes.text(x, y - 0.12, place, ha='center', va='center', fontsize=9)
    patches = [Patch(facecolor=c, edgecolor='black', label=role) for role, (_, c) in ROLES.items()]
    patches.append(Patch(facecolor=REST, edgecolor='black', label='not in the group'))
    axes.legend(
        handles=patches, loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9
    )
    axes.set_xlim(-0.5, 7.5)
    axes.set_ylim(-0.4, 1.35)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='the picture, .svg or .png')
    out = parser.parse_args().out
    with rc_context({'svg.hashsalt': 'channel group'}):
        draw(traced_group()).savefig(out, metadata={'Date': None} if out.suffix == '.svg' else {})


if __name__ == '__main__':
    main()
