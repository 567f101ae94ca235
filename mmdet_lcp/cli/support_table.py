"""Try out which detectors can be pruned, and how; write it down as a page.

Each detector is built from its own config with random weights, traced, pruned with every
criterion, saved, opened by init_detector, trained on, pruned again and exported. What has been
tried is kept in DIR; killed on the way, the same command goes on with the next detector.

  # your own detector, before you set out to prune it: DIR/support.md
  mmdet-lcp support --detectors my_detector.py --size 256
  mmdet-lcp support --detectors fcos-r50-fpn yolox-s
  # all of them, some minutes each, for the documentation
  mmdet-lcp support --page docs/support.md
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmdet.utils import register_all_modules

from mmdet_lcp import CompressionError
from mmdet_lcp.coverage import DETECTORS, SupportedDetector, Trial, TrialFacts, support_page
from mmdet_lcp.coverage.criteria import TRIED, CriterionFacts
from mmdet_lcp.files import write_json, write_text
from mmdet_lcp.report.tables import format_seconds


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ', '.join(detector.key for detector in DETECTORS)
    add = parser.add_argument
    add(
        '--detectors',
        nargs='+',
        metavar='NAME',
        default=[detector.key for detector in DETECTORS],
        help=f'which ones: {known}; or config files (default: all of these)',
    )
    add(
        '--criteria',
        nargs='+',
        choices=list(TRIED),
        default=list(TRIED),
        metavar='NAME',
        help=f'which criteria select channels: {", ".join(TRIED)} (default: all)',
    )
    add(
        '--size',
        type=int,
        default=256,
        metavar='PIXELS',
        help='side of the images for config files of your own (default: 256)',
    )
    add(
        '--out',
        default='work_dirs/support',
        metavar='DIR',
        help='folder for what has been tried, a file a detector (default: work_dirs/support)',
    )
    add('--page', metavar='FILE', help='the page (default: DIR/support.md)')
    add('--again', action='store_true', help='try detectors that have been tried before')
    return parser.parse_args(argv)


def chosen(args: argparse.Namespace) -> list[SupportedDetector]:
    """The detectors that the command line names.

    Raises:
        CompressionError: there is none of that name.
    """
    known = {detector.key: detector for detector in DETECTORS}
    found = []
    for name in args.detectors:
        if name in known:
            found.append(known[name])
        elif name.endswith('.py'):
            found.append(SupportedDetector.of_file(name, args.size))
        else:
            raise CompressionError(
                f'--detectors {name}: is no config file (*.py) and none of {", ".join(known)}'
            )
    return found


def read_facts(path: Path) -> TrialFacts:
    """What has been written down of a detector.

    Raises:
        CompressionError: the file is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        data['criteria'] = {k: CriterionFacts(**v) for k, v in data['criteria'].items()}
        return TrialFacts(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise CompressionError(f'{path} is damaged: {error}. Delete it.') from error


def failed(facts: TrialFacts) -> bool:
    """Whether something went wrong that should not."""
    return bool(facts.failures) or any(found.failures for found in facts.criteria.values())


def try_all(args: argparse.Namespace) -> list[TrialFacts]:
    """Try what has not been tried; tells of each step, and how long the rest will take."""
    detectors, folder = chosen(args), Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {detector: folder / f'{detector.key}.json' for detector in detectors}
    left = [d for d in detectors if args.again or not paths[d].exists()]
    began = time.monotonic()
    for number, detector in enumerate(left):
        shown = f'[{number + 1}/{len(left)}'
        if number:
            rest = (time.monotonic() - began) / number * (len(left) - number)
            shown += f', about {format_seconds(rest)} left'
        facts = Trial(
            detector,
            args.criteria,
            lambda line, shown=shown: print(f'{shown}] {line}', flush=True),
        ).run()
        write_json(paths[detector], dataclasses.asdict(facts))
        state = 'FAILS' if failed(facts) else 'done'
        print(f'{shown}] {detector.name}: {state} in {format_seconds(facts.seconds)}', flush=True)
    return [read_facts(paths[detector]) for detector in detectors]


def main(argv: Sequence[str] | None = None) -> int:
    """Try what is missing, and write the page.

    Returns:
        The exit status: 1 if something went wrong, with a detector too.
    """
    args = parse_args(argv)
    register_all_modules(init_default_scope=False)
    try:
        facts = try_all(args)
    except CompressionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ninterrupted; the same command goes on from here', file=sys.stderr)
        return 130
    page = Path(args.page or Path(args.out, 'support.md'))
    write_text(page, support_page(facts))
    print(f'{page} written')
    return int(any(failed(each) for each in facts))
