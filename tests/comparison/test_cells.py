import pytest

from mmdet_lcp.comparison.cells import Cell, keep_one_checkpoint


def cell(**changes) -> Cell:
    values = dict(method='lcp+exact', ratio=0.7, seed=2, cfg=dict(a=1), iterations='3', total=3)
    return Cell(**{**values, **changes})


def test_folders_tell_cells_apart(tmp_path):
    names = {cell(**changes).name for changes in ({}, dict(seed=1), dict(ratio=0.5))}
    assert names == {'lcp+exact_r0.7_s2', 'lcp+exact_r0.7_s1', 'lcp+exact_r0.5_s2'}
    assert cell().folder(tmp_path) == tmp_path / 'cells' / 'lcp+exact_r0.7_s2'


def test_begun_and_finished(tmp_path):
    one = cell(result='run/report.json')
    assert not one.has_begun(tmp_path) and not one.is_finished(tmp_path)
    (one.folder(tmp_path) / 'run').mkdir(parents=True)
    assert one.has_begun(tmp_path) and not one.is_finished(tmp_path)
    (one.folder(tmp_path) / 'run' / 'report.json').touch()
    assert one.is_finished(tmp_path)


def test_a_shared_result_is_not_waited_for(tmp_path):
    assert cell(same_as='scratch_r0.7_s2').is_finished(tmp_path)


def test_facts_know_the_config():
    assert cell().facts() == cell(iterations='3', total=4).facts()
    other = cell(cfg=dict(a=2)).facts()
    assert {key for key, value in cell().facts().items() if other[key] != value} == {'fingerprint'}


@pytest.mark.parametrize(
    ('hooks', 'expected'),
    [
        (dict(checkpoint=dict(interval=2)), dict(checkpoint=dict(interval=2, max_keep_ckpts=1))),
        (dict(checkpoint=None, timer=dict()), dict(checkpoint=None, timer=dict())),
    ],
)
def test_one_checkpoint_is_kept(hooks, expected):
    given = dict(a=1, default_hooks=hooks)
    assert keep_one_checkpoint(given) == dict(a=1, default_hooks=expected)
    assert given['default_hooks'] is hooks and 'max_keep_ckpts' not in str(hooks)
    assert keep_one_checkpoint(dict(a=1)) == dict(a=1)
