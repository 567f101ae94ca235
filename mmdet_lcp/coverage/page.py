"""The support table as a page in Markdown."""

from collections.abc import Iterable, Sequence

from mmdet_lcp.coverage.bench import RATIO, SINGLE_TOLERANCE, TOLERANCE
from mmdet_lcp.coverage.criteria import TRIED, CriterionFacts
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.trial import STEPS
from mmdet_lcp.coverage.zoo import LEFT_OUT, ZOO
from mmdet_lcp.report.tables import format_bytes, format_count, markdown_table

HEADERS = (
    'detector', 'groups', 'parameters', 'MACs: backbone', 'MACs: all', 'MACs: default',
    'masked = removed', 'loss checked', 'reloaded', 'trained on', 'pruned again', 'exported',
    'seconds',
)  # fmt: skip
INTRODUCTION = f"""# Which detectors can be pruned

Written by `tools/support_table.py`, which builds each detector from its own config with random
weights and does with it, on images of noise, what a user would. With `--only MY_CONFIG.py` it does
the same with a detector of your own.

- **groups**: how many groups of channels can be pruned, of how many there are. A group is channels
  that can only go together. All kinds are tried: `single`, `coupled` (several layers write the
  channels, which an addition joins, say) and `shared` (a layer runs several times, as heads do on
  every level), in all layers: `pruning = dict(kinds=['single', 'coupled', 'shared'],
  layers='.')`.
- **parameters**: before, and when all of these groups have lost {RATIO:.0%} of their channels.
- **MACs**: the share of the multiply-accumulates in layers with kernels that is gone when groups
  have lost {RATIO:.0%} of their channels: the *backbone*'s single ones alone (`kinds=['single'],
  layers=r'^backbone\\.'`), or *all* of these groups. The *default* asks for half of them, shared
  out over all groups that it can work on (`configs/_base_/pruning/lcp_exact.py`); where that is
  out of reach, it is what would go at most, and below it says which layers hold the rest. Heads of
  two-stage detectors run on the proposals of the detector before pruning.
- **masked = removed**: the detector without these channels computes what the one with zeros in
  their place does; with the largest difference of an output, relative to its largest value. More
  than {TOLERANCE:.0e} is a failure, here and in the next columns; more than {SINGLE_TOLERANCE:.0e}
  where it says *single*: there the detector computes in single precision whatever it is given.
  Where it says *chosen*, a detector takes the best of near-equal candidates, by top-k, NMS or an
  assignment, which the last bit of a score tips: the two are compared with the same choices.
- **loss checked**: its training loss, with norms and dropout at rest, is that of the one with
  zeros, criteria and reports take the same loss, and it predicts.
- **reloaded**: mmdet's `init_detector` opens what was saved, and it computes the same.
- **trained on**: an iteration of training on what was opened; loss and outputs stay finite.
- **pruned again**: it loses half of its channels once more, masked = removed, and the two plans
  together rebuild it.
- **exported**: the size of the ONNX file of the network without post-processing (two-stage
  detectors with fixed proposals), and its difference in ONNX Runtime.
- **seconds** of processor time for all of this, without the criteria, on one thread.
"""
FAMILIES = """
## mmdet's zoo

The smallest detector of each family, a folder of mmdet's `configs/`.
"""
OTHERS = """
## Other detectors
"""
METHODS = f"""
## With which criteria

On how many of the groups above each of the {len(TRIED)} methods can select channels, with its
own update of the next kernels. It is tried on one group of every make: the same classes of layers
write, scale and read the channels. DCP takes smaller steps than its own, which diverge on random
weights.
"""
HOSTS = ('mmdet', 'mmcv', 'torch')
SHOWN = 3  # names of groups, or reasons, in a list


def support_page(facts: Sequence[TrialFacts]) -> str:
    """Tables, and below them what cannot be done, with the reasons.

    Args:
        facts: of each detector that has been tried.
    """
    ours = {detector.config: family for family, detector in ZOO.items()}
    families = [each for each in facts if each.config in ours]
    others = [each for each in facts if each.config not in ours]
    parts = [INTRODUCTION, *_made_with(facts)]
    if families:
        parts += [FAMILIES, _table(families), '', *_zoo_words(families)]
    if others:
        parts += [OTHERS] * bool(families) + [_table(others)]
    parts += _failing(facts)
    tried = [each for each in facts if each.criteria]
    names = list(dict.fromkeys(name for each in tried for name in each.criteria))
    if names:
        rows = [[each.name, *(_criterion(each, name) for name in names)] for each in tried]
        parts += [METHODS, markdown_table(['detector', *names], rows, words=1)]
    parts.append('\n## What is left alone, and why\n')
    for each in facts:
        parts.append(f'### {each.name}\n\n`{each.config}`, images of {each.size} pixels\n')
        parts.append('\n'.join(f'- {_no_link(line)}' for line in _reasons(each)) + '\n')
    return '\n'.join(parts)


def failed(facts: TrialFacts) -> bool:
    """Whether something went wrong that should not."""
    return bool(facts.failures) or any(found.failures for found in facts.criteria.values())


def _made_with(facts: Sequence[TrialFacts]) -> Iterable[str]:
    """The packages that detectors come from and compute with."""
    found = {
        ', '.join(f'{name} {version}' for name, version in each.made_with.items() if name in HOSTS)
        for each in facts
        if each.made_with
    }
    if found:
        yield f'Made with {"; ".join(sorted(found))}.\n'


def _table(facts: Sequence[TrialFacts]) -> str:
    return markdown_table(HEADERS, [_row(each) for each in facts], words=1)


def _zoo_words(families: Sequence[TrialFacts]) -> Iterable[str]:
    """How many families pass, and which have no row."""
    passed = sum(not failed(each) for each in families)
    yield f'{passed} of {len(families)} pass every step.\n'
    yield 'Left out are\n'
    reasons: dict[str, list[str]] = {}
    for family, reason in LEFT_OUT.items():
        reasons.setdefault(reason, []).append(f'`{family}`')
    for reason, names in reasons.items():
        yield f'- {", ".join(names)}: {reason}'
    tried = {each.config for each in families}
    missing = [f'`{family}`' for family, detector in ZOO.items() if detector.config not in tried]
    if missing:
        yield f'- {", ".join(missing)}: not tried yet'


def _no_link(text: str) -> str:
    """Words of other software in which brackets make no link."""
    return text.replace('](', '] (')


def _failing(facts: Sequence[TrialFacts]) -> Iterable[str]:
    """What fails, of all detectors, in the words of the failures."""
    lines = [
        f'- {each.name}, {step}: {_no_link(reason)}'
        for each in facts
        for step, reason in each.failures.items()
    ]
    if lines:
        yield '\n## What does not work\n'
        yield '\n'.join(lines)


def _row(facts: TrialFacts) -> list[str]:
    if 'traced' in facts.failures:
        return [facts.name, *['fails'] * (len(HEADERS) - 2), _seconds(facts)]
    return [
        facts.name,
        f'{_open(facts)} of {facts.groups}',
        ' → '.join(format_count(count) for count in facts.params[:2]),
        _saved(facts, 'backbone'),
        _saved(facts, 'all'),
        _default(facts),
        _same(facts, 'pruned', 'masked'),
        _same(facts, 'checked', 'loss'),
        _same(facts, 'reloaded', 'reloaded'),
        'fails' if 'trained' in facts.failures or facts.loss is None else 'yes',
        _same(facts, 'again', 'again', 'again reloaded'),
        _export(facts),
        _seconds(facts),
    ]


def _saved(facts: TrialFacts, which: str) -> str:
    """The share of the multiply-accumulates that is gone."""
    if 'counted' in facts.failures or which not in facts.macs:
        return 'fails'
    return f'{1 - facts.macs[which] / facts.macs["dense"]:.1%}'


def _default(facts: TrialFacts) -> str:
    if 'default' in facts.failures or facts.default is None:
        return 'fails' if 'default' in facts.failures else 'not tested'
    return f'{facts.default:.1%}'


def _seconds(facts: TrialFacts) -> str:
    return f'{sum(facts.seconds.get(step, 0) for step in STEPS if step != "criteria"):.0f}'


def _open(facts: TrialFacts) -> int:
    return sum(facts.pruned.values())


def _same(facts: TrialFacts, step: str, *keys: str) -> str:
    """Whether a step went well, with the largest of its differences."""
    if step in facts.failures or not all(key in facts.differences for key in keys):
        return 'fails'
    words = _qualified(facts, keys)
    return f'yes, {_number(max(facts.differences[key] for key in keys))}{words}'


def _qualified(facts: TrialFacts, keys: Sequence[str]) -> str:
    """How differences were taken."""
    single = ' single' * any(key in facts.single for key in keys)
    return single + ' chosen' * any(key in facts.chosen for key in keys)


def _number(difference: float) -> str:
    return f'{difference:.0e}' if difference else '0'


def _export(facts: TrialFacts) -> str:
    if isinstance(facts.exported, str) or 'exported' in facts.failures:
        tested = not str(facts.exported).startswith('not tested')
        return 'fails' if tested else 'not tested'
    size = f'yes, {format_bytes(facts.exported)}'
    run = facts.differences.get('exported')
    return size if run is None else f'{size}, {_number(run)}{_qualified(facts, ["exported"])}'


def _criterion(facts: TrialFacts, name: str) -> str:
    """On how many groups a criterion works."""
    found = facts.criteria.get(name)
    if found is None:
        return 'not tried'
    if found.failures:
        return 'fails'
    if not (left_out := sum(len(groups) for groups in found.left_out.values())):
        return 'all'
    works = _open(facts) - left_out
    return f'{works} of {_open(facts)}' if works else 'none'


def _reasons(facts: TrialFacts) -> Iterable[str]:
    for step, text in facts.failures.items():
        yield f'**{step} fails**: {text}'
    kinds = ', '.join(f'{count} {kind}' for kind, count in facts.pruned.items())
    if kinds:
        yield f'{_groups(_open(facts))} pruned: {kinds}'
    if facts.holds:
        yield f'the default takes {facts.default:.1%} of the MACs at most: {facts.holds}'
    for reason, names in facts.obstacles.items():
        yield f'{_groups(len(names))} left alone, "{_shortened(reason)}": {_listed(names)}'
    makes = max((found.groups - found.narrow for found in facts.criteria.values()), default=0)
    if makes:
        yield f'the criteria are tried on {makes} {"make" if makes == 1 else "makes"} of groups'
    yield from _merged((name, line) for name, f in facts.criteria.items() for line in _told(f))
    if isinstance(facts.exported, str) and facts.exported:
        yield f'export {facts.exported}'


def _told(found: CriterionFacts) -> Iterable[str]:
    """What there is to say of a criterion."""
    for reason, names in found.alone.items():
        yield f'on {_groups(len(names))} without what trains along, "{reason}": {_listed(names)}'
    if found.narrow:
        makes = f'{found.narrow} of {found.groups} makes'
        yield f'wide layers, {makes}, tried with fewer channels, which is faster'
    for reason, names in found.left_out.items():
        yield f'not on {_groups(len(names))}, "{reason}": {_listed(names)}'
    for group, reason in found.failures.items():
        yield f'**fails** on {group}, "{reason}"'


def _merged(told: Iterable[tuple[str, str]]) -> Iterable[str]:
    """What is to be said of several criteria is said once."""
    found: dict[str, list[str]] = {}
    for name, line in told:
        found.setdefault(line, []).append(name)
    for line, names in found.items():
        yield f'**{"**, **".join(names)}**: {line}'


def _groups(count: int) -> str:
    return '1 group' if count == 1 else f'{count} groups'


def _shortened(reason: str) -> str:
    """The first of several reasons, and how many more there are."""
    parts = reason.split('; ')
    more = len(parts) - SHOWN
    return '; '.join(parts[:SHOWN]) + (f'; and {more} more' if more > 0 else '')


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ', '.join(f'`{name}`' for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f'{shown} and {more} more' if more > 0 else shown
