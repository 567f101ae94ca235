"""Chains: pruning, a teacher and shared weights one behind the other, on one and on two ranks."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from html_pages import Page
from mmdet.apis import init_detector
from mmengine.config import Config
from mmengine.registry import RUNNERS
from ranks import train_on_two_ranks
from runs import SHORT

from mmdet_lcp import CompressionError
from mmdet_lcp.chain.links import KINDS
from mmdet_lcp.chain.runner import ChainRunner
from mmdet_lcp.codec import PackedReader, init_packed_detector
from mmdet_lcp.distillation.finish import MimicFinish
from mmdet_lcp.distillation.runner import MimicRunner
from mmdet_lcp.engine.lock import FILE
from mmdet_lcp.pruning.runner import PruningRunner
from mmdet_lcp.report.chain_report import read_chain_report
from mmdet_lcp.report.report import read_report
from mmdet_lcp.weight_compression import WeightCompressionRunner

SHARING = """
weight_compression = dict(
    methods=dict(share=dict(
        type='mmdet_lcp.WeightSharing', bits=3, training=dict(max_iters=1, lr=0.001))),
    evaluate=[],
)
runner_type = 'mmdet_lcp.ChainRunner'
"""
TWO = SHORT + SHARING + "chain = ['mmdet_lcp.PruningRunner', 'WeightCompressionRunner']\n"
# Trained for an epoch, but hardly changed.
STILL = (
    "weight_compression['methods']['share'].update(bits=8, training=dict(max_epochs=1, lr=1e-9))"
)
THREE = (
    SHORT
    + SHARING
    + """
chain = [
    'mmdet_lcp.PruningRunner',
    dict(type='mmdet_lcp.MimicRunner', cfg=dict(
        train_cfg=dict(max_epochs=1, val_interval=10), param_scheduler=[])),
    dict(type='mmdet_lcp.WeightCompressionRunner', key='sharing'),
]
sharing, weight_compression = weight_compression, None
mimic = dict(teacher=dict(config={config!r}, checkpoint={dense!r}), start='random')
"""
)


def read(config: Path, **options) -> Config:
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    return cfg


class TestThreeLinks:
    """Killed in the second link, and resumed."""

    @pytest.fixture(scope='class')
    def finished(self, write_config):
        config = write_config('three')
        text = config.read_text()
        extra = THREE.replace('{config!r}', repr(str(config.with_name('teacher.py'))))
        extra = extra.replace('{dense!r}', repr(str(config.parent / 'dense.pth')))
        extra = extra.replace('sharing, weight_compression = weight_compression, None\n', '')
        extra = extra.replace('\nweight_compression = dict(', '\nsharing = dict(')
        config.with_name('teacher.py').write_text(text)
        config.write_text(text + extra)
        began = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('mmdet_lcp.engine.finish.write_run_pictures', lambda *_: None)
            for kind in (PruningRunner, MimicRunner, WeightCompressionRunner):
                patch.setattr(kind, 'train', _told(kind, began))
            with pytest.MonkeyPatch.context() as dying:
                dying.setattr(MimicFinish, 'deliver', _die)
                with pytest.raises(KeyboardInterrupt):
                    RUNNERS.build(read(config)).train()
            detector = RUNNERS.build(read(config, resume=True)).train()
            again = RUNNERS.build(read(config, resume=True)).train()
        return config, Path(read(config).work_dir), detector, again, began

    def test_links_that_have_ended_are_not_run_again(self, finished):
        assert finished[4] == [
            'PruningRunner',
            'MimicRunner',  # killed
            'MimicRunner',
            'WeightCompressionRunner',
        ]

    def test_each_begins_with_what_the_one_before_handed_out(self, finished):
        folder = finished[1]
        begun = [
            Config.fromfile(next((folder / name).glob('three.py')))
            for name in ('1_pruning', '2_mimic', '3_sharing')
        ]
        assert begun[1].load_from == str(folder / '1_pruning' / 'pruned.pth')
        assert begun[2].load_from == str(folder / '2_mimic' / 'student.pth')
        plan = json.loads((folder / '1_pruning' / 'plan.json').read_text())['modules']
        for cfg in begun[1:]:
            assert cfg.model.type == 'mmdet_lcp.PrunedDetector'
            assert set(cfg.model.plan['modules']) == set(plan)
        assert [('pruning' in c, 'mimic' in c, 'sharing' in c) for c in begun] == [
            (True, False, False),
            (False, True, False),
            (False, False, False),
        ]
        assert begun[2].weight_compression.methods.share.bits == 3
        dense = torch.load(folder / '3_sharing' / 'weight_compression_state' / 'dense.pth')
        student = torch.load(folder / '2_mimic' / 'student.pth', weights_only=True)
        for name, value in student['state_dict'].items():
            assert torch.equal(dense['state_dict'][name], value)

    def test_the_packed_file_holds_the_pruned_detector(self, finished):
        folder, detector, again = finished[1:4]
        packed = PackedReader(folder / '3_sharing' / 'compressed.lcp')
        assert packed.config['model']['type'] == 'mmdet_lcp.PrunedDetector'
        kept = packed.records['backbone.stage4.1.conv.weight'].shape[0]
        assert kept == 32 and type(detector).__module__.startswith('mmdet.')
        opened = init_packed_detector(folder / '3_sharing' / 'compressed.lcp', device='cpu')
        plain = init_detector(
            str(folder / '3_sharing' / 'compressed_config.py'),
            str(folder / '3_sharing' / 'compressed.pth'),
            'random',  # colours; there is no test set to take them from
            'cpu',
        )
        for name, value in plain.state_dict().items():
            assert torch.equal(opened.state_dict()[name], value)
            assert torch.equal(detector.state_dict()[name].cpu(), value)
            assert torch.equal(again.state_dict()[name].cpu(), value)
            if value.dim() == 4:
                assert len(value.unique()) <= 8, name
        images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for own, other in zip(opened(images), plain(images), strict=True):
                assert all(torch.equal(*maps) for maps in zip(own, other, strict=True))

    def test_the_report(self, finished):
        folder = finished[1]
        report = read_chain_report(folder / 'chain_report.json')
        assert [link.name for link in report.links] == [
            'dense',
            '1_pruning',
            '2_mimic',
            '3_sharing',
        ]
        dense, pruned, taught, shared = (link.detector for link in report.links)
        first, last = (read_report(folder / name) for name in ('1_pruning', '3_sharing'))
        assert dense == first.dense and pruned == first.compressed and shared == last.compressed
        assert pruned.params == taught.params == shared.params < dense.params
        assert pruned.macs == taught.macs < dense.macs
        assert taught.metrics.keys() == dense.metrics.keys()
        mimic = read_report(folder / '2_mimic')
        assert taught == mimic.compressed and mimic.before == 'teacher'
        assert taught.file_bytes == (folder / '2_mimic' / 'student.pth').stat().st_size
        packed = (folder / '3_sharing' / 'compressed.lcp').stat().st_size
        assert shared.file_bytes == packed
        assert report.factor == pytest.approx(dense.file_bytes / packed)
        names = ('1_pruning', '2_mimic', '3_sharing')
        links = [f'{name}/report.html' for name in names]
        assert [a for a in Page(folder / 'report.html').addresses if 'data:' not in a] == links
        assert 'The packed file' in Page(folder / '3_sharing' / 'report.html').text
        assert (first.before, last.before) == ('dense', 'after 2_mimic')
        page = (folder / 'chain_report.md').read_text()
        assert f'{report.factor:.1f}x' in page and '(3_sharing)' in page

    def test_another_config_does_not_go_on(self, finished):
        chain = RUNNERS.build(
            read(finished[0], resume=True, **{'pruning.layers': r'stage3\.1\.conv'})
        )
        with pytest.raises(
            CompressionError, match=r'1_pruning had another config:\n  pruning\.layers: '
        ):
            chain.train()
        with pytest.raises(CompressionError, match='state of another chain'):
            RUNNERS.build(read(finished[0])).train()

    def test_state_of_the_release_before(self, finished):
        """It kept a SHA-256 of some keys, and of the runner's name under `chain`."""
        path = finished[1] / 'chain_state.json'
        known = json.loads(path.read_text())
        chain = RUNNERS.build(read(finished[0], resume=True))
        earlier = []
        for link in chain.links:
            cfg = chain.link_config(link)
            texts = {
                key: json.dumps(cfg.to_dict().get(key), sort_keys=True)
                for key in ('model', 'optim_wrapper', 'pruning', 'weight_compression', 'mimic')
            }
            texts['chain'] = link.kind.runner.__name__
            earlier.append({k: sha256(v.encode()).hexdigest() for k, v in texts.items()})
        try:
            path.write_text(json.dumps({**known, 'ended': earlier}))
            assert len(chain._read_state()['ended']) == 3
            other = RUNNERS.build(read(finished[0], resume=True, **{'mimic.weight': 0.25}))
            with pytest.raises(CompressionError, match=r'2_mimic had another config:\n  mimic: '):
                other._read_state()
        finally:
            path.write_text(json.dumps(known))


def _told(kind: type, began: list):
    train = kind.train

    def told(self):
        began.append(kind.__name__)
        return train(self)

    return told


def _die(self, student):
    raise KeyboardInterrupt


def test_two_ranks(write_config, tmp_path):
    config = write_config('chain_ranks', TWO + STILL)
    assert train_on_two_ranks(config, tmp_path).count('times smaller.') == 1
    folder = tmp_path / 'out' / '2_weight_compression'
    packed = init_packed_detector(folder / 'compressed.lcp', device='cpu')
    weights = torch.load(folder / 'compressed.pth', weights_only=True)['state_dict']
    for name, value in packed.state_dict().items():
        assert torch.equal(weights[name], value)
    assert weights['backbone.stage4.1.conv.weight'].shape[0] == 32
    pruned = torch.load(tmp_path / 'out' / '1_pruning' / 'pruned.pth', weights_only=True)
    before = pruned['state_dict']['backbone.stage3.0.conv.weight']
    after = weights['backbone.stage3.0.conv.weight']
    assert 200 < len(after.unique()) <= 256 < len(before.unique())
    # 256 values of normal weights: what is lost is far below a thousandth
    assert float((after - before).square().sum() / before.square().sum()) < 1e-3
    report = read_report(folder)
    assert report.command.startswith('torchrun --nproc-per-node=2 ')
    assert report.settings['ranks'] == '2' and 'each of 2 ranks' in report.settings['batch']
    links = read_chain_report(tmp_path / 'out' / 'chain_report.json').links
    assert [link.name for link in links] == ['dense', '1_pruning', '2_weight_compression']


class TestConfig:
    @pytest.fixture
    def cfg(self, write_config):
        return read(write_config('chain_keys', TWO))

    def test_links_read_their_own_keys_alone(self, cfg):
        chain = RUNNERS.build(cfg)
        assert isinstance(chain, ChainRunner)
        first, second = (chain.link_config(link) for link in chain.links)
        assert first.runner_type == 'mmdet_lcp.PruningRunner'
        assert 'pruning' in first and 'weight_compression' not in first
        assert second.runner_type == 'mmdet_lcp.WeightCompressionRunner'
        assert 'pruning' not in second and 'weight_compression' in second
        assert second.experiment_name != first.experiment_name

    def test_one_runner_twice(self, cfg):
        cfg.second = dict(
            methods=dict(
                again=dict(type='mmdet_lcp.WeightSharing', bits=2, training=dict(max_iters=0))
            )
        )
        cfg.chain = [*cfg.chain, dict(type='mmdet_lcp.WeightCompressionRunner', key='second')]
        chain = RUNNERS.build(cfg)
        last = chain.link_config(chain.links[2])
        assert list(last.weight_compression.methods) == ['again'] and 'second' not in last
        assert last.work_dir.endswith('3_second')
        assert last.load_from.endswith('2_weight_compression/compressed.pth')
        middle = chain.link_config(chain.links[1])
        assert list(middle.weight_compression.methods) == ['share'] and 'second' not in middle
        cfg.second.methods.again.bits = 20
        with pytest.raises(CompressionError, match=r'second, read as weight_compression: .*bits'):
            RUNNERS.build(cfg)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (dict(chain=None), 'the config needs `chain`, a list of runners'),
            (dict(chain=[]), 'the config needs `chain`'),
            (dict(chain=['mmdet_lcp.PruneRunner']), r"chain\[0\]: .*nearest is 'mmdet_lcp.Prun"),
            (dict(chain=['mmdet_lcp.SensitivityRunner']), 'can be no link of a chain'),
            (dict(chain=[dict(name='x')]), r"chain\[0\] has an unknown key 'name'"),
            (
                dict(chain=[dict(type='MimicRunner', cfg=3)]),
                r'chain\[0\]\.cfg=3 must be a dict',
            ),
            (
                dict(chain=['mmdet_lcp.WeightCompressionRunner']),
                'has a `pruning` key, which no link of `chain` reads: add .*PruningRunner',
            ),
            (
                dict(chain=['PruningRunner', 'WeightCompressionRunner', 'PruningRunner']),
                r"chain\[2\] reads the key `pruning`, as a link before.*key='pruning_3'",
            ),
            (
                dict(chain=['PruningRunner', 'WeightCompressionRunner', 'MimicRunner']),
                r'chain\[2\] needs the key `mimic`',
            ),
            ({'weight_compression.methods.share.bits': 11}, r'methods\.share\.bits=11'),
            (
                {'weight_compression.methods.share.layers': 'stage9'},
                r"share\.layers: 'stage9' matches no layer",
            ),
            ({'pruning.ratio': 2}, r'pruning\.ratio=2'),
            (dict(work_dir=None), 'has no `work_dir`'),
        ],
    )
    def test_what_is_wrong_is_said_before_anything_runs(self, cfg, change, message):
        cfg.merge_from_dict(change)
        with pytest.raises(CompressionError, match=message):
            RUNNERS.build(cfg)
        assert not (Path(read_work_dir(cfg)) / '1_pruning').exists()

    def test_every_link_names_its_runner(self):
        assert {name: kind.runner.__name__ for name, kind in KINDS.items()} == {
            name: name for name in ('PruningRunner', 'WeightCompressionRunner', 'MimicRunner')
        }


def read_work_dir(cfg: Config) -> str:
    return cfg.work_dir or '.'


class TestLaterLinks:
    """What is wrong with a later link is found before the first one begins."""

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'chain[1]': dict(custom_hooks=[dict(type='EMAHok')])}, "2_weight.*'EMAHook'"),
            ({'chain[1]': dict(val_evaluator=dict(type='CocoMetrik'))}, "2_weight.*'CocoMetric'"),
            (
                {'chain[1]': dict(train_dataloader=dict(dataset=dict(ann_file='no.json')))},
                r'2_weight.*`train_dataloader` names a file that cannot be read.*no\.json',
            ),
            (
                {'chain[1]': dict(optim_wrapper=dict(optimizer=dict(type='SDG')))},
                "2_weight.*'SGD'",
            ),
        ],
    )
    def test_it_is_found(self, write_config, tmp_path, changes, message):
        cfg = read(write_config('later', TWO), work_dir=str(tmp_path / 'chain'))
        (change,) = changes.values()
        cfg.chain = [cfg.chain[0], dict(type='WeightCompressionRunner', cfg=change)]
        with pytest.raises(CompressionError, match=f'(?s)link 2, {message}'):
            RUNNERS.build(cfg).train()
        assert not (tmp_path / 'chain' / '1_pruning').exists()

    def test_a_missing_teacher(self, write_config, tmp_path):
        config = write_config('teacher_gone', TWO)
        cfg = read(config, work_dir=str(tmp_path / 'chain'))
        cfg.pop('weight_compression')
        cfg.chain = [cfg.chain[0], 'MimicRunner']
        cfg.mimic = dict(teacher=dict(config=str(config), checkpoint='gone.pth'))
        with pytest.raises(CompressionError, match=r"2_mimic: .*checkpoint='gone\.pth'"):
            RUNNERS.build(cfg).train()

    def test_mixed_precision_without_a_gpu(self, write_config):
        cfg = read(write_config('later_amp', TWO))
        amp = dict(optim_wrapper=dict(type='AmpOptimWrapper'))
        cfg.chain = [cfg.chain[0], dict(type='WeightCompressionRunner', cfg=amp)]
        with pytest.raises(CompressionError, match='mixed precision'):
            RUNNERS.build(cfg)


def test_another_chain_works_there(write_config, tmp_path):
    cfg = read(write_config('busy', TWO), work_dir=str(tmp_path / 'chain'))
    (tmp_path / 'chain').mkdir()
    (tmp_path / 'chain' / FILE).write_text('{"host": "elsewhere", "pid": 7, "began": 0}')
    with pytest.raises(CompressionError, match='process 7 on elsewhere'):
        RUNNERS.build(cfg).train()
    assert not (tmp_path / 'chain' / '1_pruning').exists()


def test_a_change_of_a_link_that_has_ended_is_accepted(write_config, tmp_path):
    cfg = read(write_config('accepted', TWO), work_dir=str(tmp_path / 'chain'), resume=True)
    chain = RUNNERS.build(cfg)
    facts = {key: dict(chain._fingerprint(chain.links[0])) for key in ('before', 'now')}
    before = json.loads(json.dumps(facts['before']))
    before['config']['optim_wrapper']['type'] = 'Mistaken'
    chain.work_dir.mkdir()
    state = {'links': [], 'ended': [before]}
    (chain.work_dir / 'chain_state.json').write_text(json.dumps(state))
    with pytest.raises(CompressionError, match=r'(?s)optim_wrapper\.type.*accept_changes=KEY'):
        chain._read_state()
    chain.cfg.accept_changes = 'optim_wrapper.type'
    assert chain._read_state()['ended'] == [before]
