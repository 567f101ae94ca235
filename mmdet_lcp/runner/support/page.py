"""The support table as a page in Markdown."""

from collections.abc import Iterable, Sequence

from mmdet_lcp.analysis.tables import format_seconds, markdown_table
from mmdet_lcp.runner.support.criteria import CRITERIA, CriterionFacts
from mmdet_lcp.runner.support.trial import RATIO, TOLERANCE, TrialFacts

HEADERS = (
    'detector', 'groups', 'parameters', 'criteria', 'masked = removed', 'reloaded', 'trained on',
    'pruned again', 'exported',
)  # fmt: skip
INTRODUCTION = f"""# Which detectors can be pruned

Written by `python tools/support_table.py`, which builds each detector from its own config with
random weights and does with it what a user would, on images of noise:

- **groups**: how many groups of channels lose {RATIO:.0%}, of how many there are; all kinds
  (`pruning.kinds=['single', 'coupled', 'shared']`) in all layers (`pruning.layers='.'`).
- **parameters**: how many are left when all of them do.
- **criteria**: how many of the {len(CRITERIA)} methods select channels; each on one group of every
  make, with its own update of the next kernels.
- **masked = removed**: the largest difference of an output, relative to its largest value, between
  the detector without these channels and the one in which they are zero; at most {TOLERANCE:.0e}.
- **reloaded**: the same between the pruned detector and what `init_detector` opens.
- **trained on**: the loss of an iteration of training on what was opened.
- **pruned again**: the same two differences when it loses half of its channels once more and is
  rebuilt from the two plans together.
- **exported**: the size of the ONNX file of the network without post-processing (two-stage
  detectors with fixed proposals), and its difference in ONNX Runtime.
"""


def support_page(facts: Sequence[TrialFacts]) -> str:
    """Table, and below it what cannot be done, with the reasons.

    Args:
        facts: of each detector that has been tried.
    """
    parts = [INTRODUCTION, markdown_table(HEADERS, [_row(each) for each in facts], words=1)]
    parts.append('\n## What is left alone, and why\n')
    for each in facts:
        parts.append(f'### {each.name}\n\n`{each.config}`, images of {each.size} pixels, '
                     f'{format_seconds(each.seconds)}\n')  # fmt: skip
        parts.append('\n'.join(f'- {line}' for line in _reasons(each)) + '\n')
    return '\n'.join(parts)


def _row(facts: TrialFacts) -> list[str]:
    failed = facts.failures
    if 'traced' in failed:
        return [facts.name, *['fails'] * (len(HEADERS) - 1)]
    good = [name for name, found in facts.criteria.items() if found.groups and not found.failures]
    return [
        facts.name,
        f'{sum(facts.pruned.values())} of {facts.groups}',
        ' -> '.join(f'{count / 1e6:.1f} M' for count in facts.params[:2]),
        f'{len(good)} of {len(facts.criteria)}',
        _difference(facts, 'masked', 'pruned'),
        _difference(facts, 'reloaded', 'reloaded'),
        'fails' if 'trained' in failed or facts.loss is None else f'loss {facts.loss:.3g}',
        ', '.join(_difference(facts, key, 'again') for key in ('again', 'again reloaded')),
        _export(facts),
    ]  # fmt: skip


def _export(facts: TrialFacts) -> str:
    if isinstance(facts.exported, str) or 'exported' in facts.failures:
        tested = not str(facts.exported).startswith('not tested')
        return 'fails' if tested else 'not tested'
    size = f'{facts.exported / 1e6:.0f} MB'
    run = facts.differences.get('exported')
    return size if run is None else f'{size}, {run:.0e}'


def _difference(facts: TrialFacts, key: str, step: str) -> str:
    if step in facts.failures or key not in facts.differences:
        return 'fails'
    return f'{facts.differences[key]:.0e}' if facts.differences[key] else '0'


def _reasons(facts: TrialFacts) -> Iterable[str]:
    for step, text in facts.failures.items():
        yield f'**{step} fails**: {text}'
    kinds = ', '.join(f'{count} {kind}' for kind, count in facts.pruned.items())
    if kinds:
        yield f'pruned: {kinds}'
    for reason, count in facts.obstacles.items():
        yield f'{_groups(count)} left alone: {reason}'
    for name, found in facts.criteria.items():
        yield f'{name}: {_criterion(found)}'
    if isinstance(facts.exported, str) and facts.exported:
        yield f'export {facts.exported}'


def _criterion(found: CriterionFacts) -> str:
    words = [f'{found.groups} makes of groups']
    if found.attached:
        words.append(f'{found.attached} of them with its auxiliary network')
    if found.narrow:
        words.append(f'{found.narrow} of them at half the width, since the full one takes minutes')
    text = ', '.join(words)
    for reason, count in found.left_out.items():
        text += f'; not on {_groups(count)}: {reason}'
    for group, reason in found.failures.items():
        text += f'; **fails** on {group}: {reason}'
    return text


def _groups(count: int) -> str:
    return '1 group' if count == 1 else f'{count} groups'
