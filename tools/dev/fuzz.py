"""Fuzz what reads files and configs, with as many inputs as there is time for.

python tools/dev/fuzz.py --inputs 20000

Each of the targets of fuzz_targets.py gets that many inputs, drawn by hypothesis from a seed. What
it finds, it makes small and prints; the exit status is then 1.
"""

import argparse
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'runtime'), str(ROOT / 'tests')]

MEMORY = 8 << 30


def main() -> int:
    """Do it."""
    from hypothesis import HealthCheck, given, seed, settings

    from fuzz_targets import Fuzzed

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--inputs', type=int, default=1000, help='for each target')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help='targets whose name holds this')
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a fault must not take the machine
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzed = Fuzzed(Path(folder))
        for name, (inputs, target) in fuzzed.targets().items():
            if args.only not in name:
                continue
            run = settings(
                max_examples=args.inputs,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(seed(args.seed)(given(inputs)(target)))
            began = time.time()
            fuzzed.refused = fuzzed.accepted = 0
            try:
                run()
            except Exception:  # whatever the package lets through is what is looked for
                faults += 1
                traceback.print_exc()
            print(
                f'{name}: {fuzzed.refused} refused, {fuzzed.accepted} accepted, '
                f'{time.time() - began:.0f} s',
                flush=True,
            )
    return int(faults > 0)


if __name__ == '__main__':
    sys.exit(main())
