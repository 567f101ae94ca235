"""Which COCO files a run measures against; the metrics are mmdet's own."""

from types import SimpleNamespace

from mmdet.evaluation import VOCMetric

from mmdet_lcp.engine.coco_files import coco_files, is_to_be_found


def test_each_metric_has_its_own_file(measuring, tmp_path):
    one, other = measuring(name='val'), measuring((0, 1), name='test')
    metrics = [
        *one.val_loop.evaluator.metrics,
        VOCMetric(),
        *other.test_loop.evaluator.metrics,
    ]
    loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics))
    given = [one.cfg['val_evaluator'], dict(type='VOCMetric'), other.cfg['test_evaluator']]
    found = list(coco_files('val', loop, given))
    assert [file for file, *_ in found] == [
        str(tmp_path / 'val.json'),
        str(tmp_path / 'test.json'),
    ]
    assert [len(api.anns) for _, api, _ in found] == [2, 3]
    assert [metric for *_, metric in found] == [metrics[0], metrics[2]]


def test_a_file_that_no_config_names(measuring):
    ((file, *_),) = coco_files('val', measuring().val_loop, None)
    assert file == 'the annotation file of val_evaluator'


def test_crowds_and_ignored_ones_do_not_count():
    assert is_to_be_found(dict(id=1)) and is_to_be_found(dict(iscrowd=0, ignore=0))
    assert not is_to_be_found(dict(iscrowd=1)) and not is_to_be_found(dict(ignore=1))
