"""Kill runs at random moments, break what they need, resume, and compare; the tables of a page.

python tools/dev/faults.py --kills 35 --seed 0 --page docs/faults.md

Each kind of run is small (seconds). It is run once undisturbed; then for each moment of a seeded
list it is killed, by SIGKILL and SIGTERM in turn, and resumed: plan and weights have to be those
of the run that nobody disturbed, bit by bit, and no file may be half-written. Faults of disk,
data and checkpoint are made once each.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'runtime'), str(ROOT / 'tests')]


def main() -> int:
    """Do it; 1 if a run has come to something else."""
    import tiny

    from fault_runs.killing import Kill, kill_at
    from fault_runs.kinds import KINDS
    from fault_runs.once import Fault, faults
    from fault_runs.page import faults_page
    from fault_runs.processes_of import moments

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--kills', type=int, default=35, help='of all kinds together')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--page', type=Path, help='write the tables into this page')
    parser.add_argument('--only', default='', help='kinds whose name holds this; "once" for those')
    parser.add_argument(
        '--kept', type=Path, help='results are kept here; kinds that are in it are not run again'
    )
    args = parser.parse_args()
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), str(ROOT / 'runtime')])
    folder = Path(tempfile.mkdtemp(prefix='faults-'))
    tiny.make_data(folder / 'digits')
    began = time.time()

    def tell(line: str) -> None:
        print(f'[{time.time() - began:6.0f} s] {line}', flush=True)

    def write() -> None:
        """What there is so far: the whole takes half an hour."""
        facts = dict(
            date=time.strftime('%Y-%m-%d'),
            command=f'python tools/dev/faults.py --kills {args.kills} --seed {args.seed}',
            seconds=before + time.time() - began,
            python=platform.python_version(),
            versions={n: version(n) for n in ('torch', 'mmdet', 'mmcv', 'mmengine')},
        )
        data = dict(facts, kills=[asdict(k) for k in kills], once=[asdict(f) for f in once])
        (args.kept or folder / 'faults.json').write_text(json.dumps(data, indent=1))
        if args.page:
            args.page.write_text(faults_page(facts, kills, once), encoding='utf-8')

    kinds = [kind for kind in KINDS if args.only in kind.name]
    when = moments(args.kills, args.seed)
    known = json.loads(args.kept.read_text()) if args.kept and args.kept.exists() else {}
    before = known.get('seconds', 0.0)
    kills = [Kill(**kill) for kill in known.get('kills', [])]
    once = [Fault(**fault) for fault in known.get('once', [])]
    for number, kind in enumerate(kinds):
        if kind.name in {kill.kind for kill in kills}:
            continue
        kills += kill_at(kind, folder, when[number :: len(kinds)], tell)
        write()
    if args.only in 'once' and not once:
        for fault in faults(folder, tell):
            once.append(fault)
            write()
    good = all(k.weights and k.plan is not False and not k.half_written for k in kills)
    good = good and all(fault.same and not fault.left for fault in once)
    if good:
        shutil.rmtree(folder)
    else:
        print(f'{folder / "faults.json"}')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
