"""The config that a run hands out, against the run's own and read again by mmengine."""

import pytest
from mmengine.config import Config

from mmdet_lcp.config.handed_out import FURTHER, RETRAINED, handed_out_config, inherits_work_dir

RUN = dict(
    model=dict(
        type='SSD',
        init_cfg=dict(type='Pretrained', checkpoint='vgg.pth'),
        backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained', checkpoint='r')),
    ),
    runner_type='mmdet_lcp.PruningRunner',
    pruning=dict(ratio=0.5),
    resume=True,
    load_from='dense.pth',
    work_dir='run',
    train_cfg=dict(max_epochs=3),
)


def read_again(cfg: Config, folder) -> dict:
    path = folder / 'out.py'
    path.write_text(cfg.pretty_text)
    return Config.fromfile(path).to_dict()


def test_what_only_the_run_needs_is_left_out(tmp_path):
    given = Config(RUN)
    out = handed_out_config(given, ('pruning',), tmp_path / 'a.pth', tmp_path / 'further')
    found = read_again(out, tmp_path)
    assert found.keys() == {'model', 'load_from', 'work_dir', 'train_cfg'}
    assert found['train_cfg'] == dict(max_epochs=3)
    assert (found['load_from'], found['work_dir']) == (
        str(tmp_path / 'a.pth'),
        str(tmp_path / 'further'),
    )
    # the detector is there, and nothing is fetched for it
    assert found['model']['backbone']['depth'] == 18
    assert 'Pretrained' not in out.pretty_text
    assert given.to_dict() == RUN  # as it was


def test_another_model_in_its_place(tmp_path):
    model = dict(type='mmdet_lcp.PrunedDetector', detector='SSD')
    out = handed_out_config(Config(RUN), (), tmp_path / 'a.pth', tmp_path, model, pretty=False)
    assert out.model == model and out.pruning == RUN['pruning']


@pytest.mark.parametrize('name', [RETRAINED, FURTHER])
def test_the_folder_of_another_run_is_not_inherited(tmp_path, name):
    (tmp_path / 'run').mkdir()
    handed_out, work_dir = tmp_path / 'run' / 'pruned_config.py', str(tmp_path / 'run' / name)
    handed_out.write_text(f'work_dir = {work_dir!r}')
    child, own = tmp_path / 'child.py', tmp_path / 'own.py'
    child.write_text("_base_ = 'run/pruned_config.py'")
    own.write_text(f"_base_ = 'run/pruned_config.py'\nwork_dir = {work_dir!r}")
    assert inherits_work_dir(str(child), Config.fromfile(child).work_dir)
    assert not inherits_work_dir(str(own), Config.fromfile(own).work_dir)
    assert not inherits_work_dir(str(handed_out), Config.fromfile(handed_out).work_dir)
    # a base that users write for their own runs
    assert not inherits_work_dir(str(child), str(tmp_path / 'runs'))
