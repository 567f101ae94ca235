"""The sensitivity figure: what each group's pruning costs, a line a ratio."""

import math
from pathlib import Path

from mmdet_lcp.report.figures import new_figure, save_figure, width_for, write_names
from mmdet_lcp.report.sensitivity import LOSS, SENSITIVITY_PNG, Sensitivity

_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')


def draw_sensitivity(sensitivity: Sensitivity, folder: Path) -> bool:
    """Draw ``sensitivity.png``: a panel a measure, groups in order of execution.

    Args:
        sensitivity: the cells so far.
        folder: where the picture goes; it is written whole or not at all.

    Returns:
        Whether there was anything to draw.
    """
    from matplotlib import colormaps

    measures = sensitivity.measures()
    if not sensitivity.cells or not measures:
        return False
    names = list(sensitivity.groups)
    ratios = sensitivity.ratios
    figure = new_figure(width_for(len(names)), 3.6 * len(measures) + 1.2)
    panels = figure.subplots(len(measures), 1, sharex=True, squeeze=False)[:, 0]
    colours = colormaps['viridis']
    for axes, measure in zip(panels, measures, strict=True):
        for number, ratio in enumerate(ratios):
            cells = [sensitivity.cell(name, ratio) for name in names]
            heights = [math.nan if c is None else c.values.get(measure, math.nan) for c in cells]
            axes.plot(
                range(len(names)),
                [math.nan if value is None else value for value in heights],
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=5,
                linewidth=1.2,
                color=colours(0.85 * (1 - number / max(1, len(ratios) - 1))),
                label=f'{ratio:g} removed',
            )
        axes.axhline(sensitivity.dense[measure], color='black', linestyle=':', label='dense')
        axes.set_ylabel('loss on training images' if measure == LOSS else measure)
        axes.grid(alpha=0.3)
        axes.legend(loc='best', framealpha=0.9, fontsize='small')
    panels[0].set_title('One group pruned, nothing retrained')
    write_names(panels[-1], names)
    save_figure(figure, folder / SENSITIVITY_PNG)
    return True
