"""Write COCO annotation files whose masks are the boxes, for data without masks.

That shows a mask branch at work, not how good its masks are:

    python tools/dev/boxes_as_masks.py data/txlpbc/annotations
"""

import argparse
import json
from pathlib import Path


def with_masks(annotations: dict) -> dict:
    """The same annotations (COCO's format), each with its box as a polygon."""
    for annotation in annotations['annotations']:
        x, y, width, height = annotation['bbox']
        annotation['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    return annotations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='with instances_train.json and others')
    folder = parser.parse_args().folder
    for path in sorted(folder.glob('instances_*.json')):
        out = folder / path.name.replace('instances', 'boxes_as_masks')
        out.write_text(json.dumps(with_masks(json.loads(path.read_text()))))
        print(out)


if __name__ == '__main__':
    main()
