"""README's picture: what a dense and a compressed detector find, with time, size and mAP.

Made of what a run has written: its report and the pictures in its work_dir.

  python tools/dev/readme_picture.py WORK_DIR --images 0 3 --out docs/dense_and_pruned.jpg
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from mmdet_lcp.files import read_json
from mmdet_lcp.report.stored_pictures import FOLDER, INDEX

QUALITY = {'quality': 82}


def caption(name: str, facts: dict[str, Any]) -> str:
    """A detector's name and figures, in two lines.

    Args:
        name: of the detector.
        facts: of `report.json`.
    """
    score = facts['metrics']['coco/bbox_mAP']
    return (
        f'{name}: {facts["latency_ms"]:.1f} ms, {facts["file_bytes"] / 1e6:.1f} MB, '
        f'{facts["macs"] / 1e6:.0f} M MACs\nmAP {score:.3f}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path, help='of a pruning run that has ended')
    parser.add_argument('--images', type=int, nargs='+', default=[0], help='numbers of pictures')
    parser.add_argument('--out', type=Path, required=True, help='the picture, .jpg or .png')
    args = parser.parse_args()
    report = read_json(args.work_dir / 'report.json')
    stored = read_json(args.work_dir / FOLDER / INDEX)['pictures']
    columns = [('dense', report['dense']), ('compressed', report['compressed'])]
    rows = len(args.images)
    figure, axes = plt.subplots(rows, 2, figsize=(9, 5 * rows), squeeze=False)
    for index, number in enumerate(args.images):
        for axis, (kind, facts) in zip(axes[index], columns, strict=True):
            axis.imshow(plt.imread(args.work_dir / FOLDER / stored[number][kind]))
            axis.set_axis_off()
            if not index:
                name = 'dense' if kind == 'dense' else 'pruned, retrained'
                axis.set_title(caption(name, facts), fontsize=11)
    figure.tight_layout()
    figure.savefig(args.out, dpi=110, pil_kwargs=QUALITY if args.out.suffix == '.jpg' else None)


if __name__ == '__main__':
    main()
