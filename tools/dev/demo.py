"""The demo: make data, train a detector, prune it, write it as one file, detect with that.

Interrupted, it goes on where it stopped.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = 'work_dirs/demo'
STEPS = (
    (
        'making the data: handwritten digits on cluttered backgrounds',
        ['tools/make_digits.py', '--out', 'data/digits'],
    ),
    (
        'training the dense detector, about 5 minutes on 2 cores',
        [
            *('tools/train.py', 'configs/ssd/ssd_narrow_vgg_digits.py', '--seed', '0'),
            *('--work-dir', f'{WORK}/dense'),
        ],
    ),
    (
        'pruning it with LCP, about 4 minutes on 2 cores',
        ['tools/train.py', 'configs/lcp/demo.py', '--work-dir', f'{WORK}/lcp'],
    ),
    (
        'writing the pruned detector as one file, from photo to boxes, and in eight bits',
        [
            *('tools/export.py', f'{WORK}/lcp/pruned_config.py', f'{WORK}/lcp/pruned.pth'),
            *('--out', f'{WORK}/detector.onnx', '--int8'),
        ],
    ),
    (
        'detecting with that file, without PyTorch or mmdet',
        [
            *('tools/detect.py', f'{WORK}/detector.onnx', 'data/digits/images/test/00001.jpg'),
            *('--out', f'{WORK}/seen.png'),
        ],
    ),
)


def main() -> None:
    """Run the steps; each is a command that a user could give."""
    start = time.time()
    for number, (title, command) in enumerate(STEPS, 1):
        if command[0].endswith('train.py'):
            command = [*command, '--resume']
        print(f'\n[demo {number}/{len(STEPS)}] {title}\n[demo] python {" ".join(command)}\n')
        sys.stdout.flush()
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            sys.exit(f'[demo] step {number} failed; run `make demo` again to go on from there')
    print(
        f'\n[demo] done in {(time.time() - start) / 60:.1f} min. The pruned detector and its '
        f'report, with a table, are in {WORK}/lcp (report.html); as a file for a device it is '
        f'{WORK}/detector.onnx, and what that sees in a picture {WORK}/seen.png.'
    )


if __name__ == '__main__':
    main()
