"""mmdet: evaluating a detector that has found nothing in COCO's way."""

from __future__ import annotations

import copy
import functools
import logging


def empty_results_evaluated() -> None:
    """Make mmdet's ``COCO`` load an empty list of results, so that its metrics are what they are.

    pycocotools looks at the first result to see of which kind all are. Without one that is an
    IndexError, at which ``CocoMetric`` gives up and returns no metric at all: a detector that
    finds nothing has no mAP instead of one of 0, and a hook that saves the best checkpoint fails.
    """
    from mmdet.datasets.api_wrappers import COCO
    from mmengine import logging as host

    load_results = COCO.loadRes
    if hasattr(load_results, '_lcp_fix'):
        return

    @functools.wraps(load_results)
    def fixed_load_results(self, results):
        if not isinstance(results, list) or results:
            return load_results(self, results)
        host.print_log(
            f'Nothing was detected on any of {len(self.dataset["images"])} images: what is '
            'evaluated counts as 0.',
            logger='current',
            level=logging.WARNING,
        )
        found = COCO()
        found.dataset = {
            'info': copy.deepcopy(self.dataset.get('info', {})),
            'images': list(self.dataset['images']),
            'categories': copy.deepcopy(self.dataset['categories']),
            'annotations': [],
        }
        found.createIndex()
        return found

    fixed_load_results._lcp_fix = 'pycocotools COCO.loadRes'
    COCO.loadRes = fixed_load_results
