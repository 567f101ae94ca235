"""What an evaluation prints and logs without its tables; pycocotools prints itself."""

import io
import logging
from contextlib import nullcontext

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_lcp.engine.quiet import without_tables


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(log) -> logging.Logger:
    logger = logging.Logger('quiet', logging.INFO)
    logger.addHandler(logging.StreamHandler(log))
    return logger


def evaluate() -> np.ndarray:
    """pycocotools' own evaluation of one box."""
    truth = COCO()
    box = dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 9, 9], area=81, iscrowd=0)
    truth.dataset = dict(images=[dict(id=1)], categories=[dict(id=1)], annotations=[box])
    truth.createIndex()
    found = COCOeval(truth, truth.loadRes([dict(box, score=0.9)]), 'bbox')
    found.evaluate()
    found.accumulate()
    found.summarize()
    return found.stats


@pytest.mark.parametrize('quiet', [True, False])
def test_pycocotools_is_silent_and_others_are_not(logger, capsys, quiet):
    with without_tables(logger) if quiet else nullcontext():
        print('before')
        stats = evaluate()
        print('behind', end='')
        print(' it')
    assert stats[0] == pytest.approx(1)
    lines = capsys.readouterr().out.splitlines()
    if quiet:
        assert lines == ['before', 'behind it']
    else:
        assert len(lines) > 20


def test_results_and_warnings_are_logged(logger, log):
    table = '\n+-------+-----+\n| class | ap  |\n+-------+-----+'
    with without_tables(logger):
        for text in ('Evaluating bbox...', 'bbox_mAP_copypaste: 0.1', table, '---iou_thr: 0.5---'):
            logger.info(text)
        logger.info('Epoch(val) [1][1/1]  coco/bbox_mAP: 0.5')
        logger.warning('Evaluating nothing')
    logger.info(table)
    assert (
        log.getvalue() == f'Epoch(val) [1][1/1]  coco/bbox_mAP: 0.5\nEvaluating nothing\n{table}\n'
    )


def test_an_error_leaves_the_logger_as_it_was(logger, log, capsys):
    with pytest.raises(KeyError), without_tables(logger):
        raise KeyError
    logger.info('bbox_mAP_copypaste')
    print(' Average Precision')
    assert log.getvalue() == 'bbox_mAP_copypaste\n'
    assert capsys.readouterr().out == ' Average Precision\n'
