"""Detectors in one file: packed, opened, unpacked; and what does not fit."""

import pytest
import tiny
import torch
from mmdet.apis import inference_detector, init_detector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmdet_lcp.codec import (
    PackedReader,
    PackSettings,
    init_packed_detector,
    open_writer,
    pack_detector,
    unpack_detector,
)
from mmdet_lcp.codec.patterns import to_patterns
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import Plan, apply_plan, axis_sizes, find_groups
from mmdet_lcp.pruning.delivery import PRUNED_CONFIG, PRUNED_WEIGHTS, deliver

CLASSES = tuple('0123456789')


@torch.no_grad()
def compressed(detector) -> Plan:
    """Prune channels, then connections, then share values; in place."""
    rng = torch.Generator().manual_seed(0)
    groups = [g for g in find_groups(detector, (tiny.SIZE, tiny.SIZE)) if g.obstacle is None]
    totals, plan = axis_sizes(detector, groups), Plan()
    for group in groups[:3]:
        plan = plan.remove(group, list(range(group.channels // 2)), totals)
    apply_plan(detector, plan)
    for weight in detector.parameters():
        if weight.dim() > 1:
            step = weight.abs().max() / 15
            alive = torch.rand(weight.shape, generator=rng) < 0.2
            weight.copy_(torch.round(weight / step) * step * alive + 0.0)
    return plan


@pytest.fixture(scope='module')
def delivered(tmp_path_factory):
    """The folder of a run that has delivered a pruned and shared detector."""
    folder = tmp_path_factory.mktemp('delivered')
    data = tiny.make_data(folder / 'digits')
    cfg = Config.fromfile(tiny.make_config(folder, data))
    detector = MODELS.build(cfg.model)
    torch.nn.init.normal_(detector.backbone.stage4[0].bn.running_mean)
    plan = compressed(detector)
    deliver(cfg, detector, plan, folder, {'dataset_meta': {'classes': CLASSES}})
    return folder


@pytest.fixture(scope='module')
def files(delivered) -> tuple[str, str]:
    return str(delivered / PRUNED_CONFIG), str(delivered / PRUNED_WEIGHTS)


@pytest.fixture(scope='module')
def weights(files) -> dict[str, torch.Tensor]:
    return torch.load(files[1], weights_only=True)['state_dict']


@pytest.fixture(scope='module')
def packed(delivered, files):
    path = delivered / 'small.lcp'
    pack_detector(files[1], files[0], path)
    return path


@pytest.fixture(scope='module')
def image(delivered) -> str:
    return str(sorted((delivered / 'digits' / 'images' / 'test').iterdir())[0])


def equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return list(ours) == list(theirs) and all(
        ours[name].dtype == theirs[name].dtype
        and ours[name].shape == theirs[name].shape
        and (to_patterns(ours[name]) == to_patterns(theirs[name])).all()
        for name in ours
    )


def test_is_small_and_whole(packed, files, weights):
    reader = PackedReader(packed)
    assert equal(dict(reader.tensors()), weights)
    assert 'backbone.stage4.0.bn.num_batches_tracked' in reader.records
    assert reader.config == Config.fromfile(files[0]).to_dict()
    assert reader.config['model']['plan']
    assert reader.meta == {'dataset_meta': {'classes': CLASSES}}
    codings = {name: record.coding for name, record in reader.records.items()}
    assert codings['backbone.stage4.0.conv.weight'].startswith('sparse ')
    convs = [record for name, record in reader.records.items() if len(record.shape) > 1]
    # 0.2 (H(0.2) / 0.2 for the gap, at most 5 for the value) = 1.7 bits of 32
    assert sum(r.decoded_size for r in convs) > 12 * sum(r.size for r in convs)


def test_opens_like_any_detector(packed, files, image):
    detector = init_packed_detector(packed, device='cpu')
    expected = init_detector(*files, device='cpu')
    assert type(detector) is type(expected) and not detector.training
    assert detector.dataset_meta == expected.dataset_meta
    assert detector.dataset_meta['classes'] == CLASSES
    found = inference_detector(detector, image).pred_instances
    wanted = inference_detector(expected, image).pred_instances
    assert len(wanted) > 0
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], wanted[key])


def test_options_of_init_detector(packed):
    options = {'model.test_cfg.max_per_img': 3}
    detector = init_packed_detector(packed, 'cpu', palette='voc', cfg_options=options)
    assert detector.test_cfg.max_per_img == 3
    assert detector.dataset_meta['palette'] == 'voc'


def test_unpacks_to_the_files_that_were_packed(packed, files, weights, tmp_path):
    unpack_detector(packed, tmp_path / 'back.pth', tmp_path / 'back.py')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert equal(back['state_dict'], weights)
    assert back['meta'] == {'dataset_meta': {'classes': CLASSES}}
    with open(files[0]) as config:
        assert (tmp_path / 'back.py').read_text() == config.read()
    detector = init_detector(str(tmp_path / 'back.py'), str(tmp_path / 'back.pth'), device='cpu')
    assert equal(detector.state_dict(), weights)


def test_mmengine_loads_it_as_a_checkpoint(packed, files, weights):
    """So `load_from` and mmdet's tools take it."""
    content = CheckpointLoader.load_checkpoint(str(packed), map_location='cpu')
    assert equal(content['state_dict'], weights)
    detector = init_detector(files[0], str(packed), device='cpu')
    assert equal(detector.state_dict(), weights)
    assert torch.load(files[1], weights_only=True).keys() == content.keys()
    loaded = CheckpointLoader.load_checkpoint(files[1], map_location='cpu')  # as before
    assert equal(loaded['state_dict'], weights)


def test_half(files, weights, tmp_path):
    exact = PackedReader(pack_detector(files[1], files[0], tmp_path / 'exact.lcp').path)
    half = pack_detector(files[1], files[0], tmp_path / 'half.lcp', PackSettings(half=True))
    assert half.file_size < exact.file_size
    for name, tensor in half.tensors():
        if half.records[name].stored:
            assert torch.equal(tensor, weights[name].half().float())
        else:
            assert (to_patterns(tensor) == to_patterns(weights[name])).all()
    assert half.records['backbone.stage4.0.bn.running_mean'].stored == 'float16'


def test_plain_zeros(files, weights, tmp_path):
    minus = {
        name: torch.where(tensor == 0, -tensor, tensor) if tensor.dim() > 1 else tensor
        for name, tensor in weights.items()
    }
    torch.save({'state_dict': minus}, tmp_path / 'minus.pth')
    sizes = []
    for plain in (False, True):
        path = tmp_path / f'{plain}.lcp'
        settings = PackSettings(plain_zeros=plain)
        packed = pack_detector(tmp_path / 'minus.pth', files[0], path, settings)
        sizes.append(packed.file_size)
        assert equal(dict(packed.tensors()), weights if plain else minus)
    assert sizes[1] < 0.95 * sizes[0]


def test_bare_and_data_parallel_state_dicts(files, weights, tmp_path):
    torch.save({f'module.{name}': tensor for name, tensor in weights.items()}, tmp_path / 'x.pth')
    packed = pack_detector(tmp_path / 'x.pth', files[0], tmp_path / 'x.lcp')
    assert equal(dict(packed.tensors()), weights)
    assert packed.meta == {}


class TestErrors:
    @pytest.fixture
    def refused(self, files, tmp_path):
        """Pack a checkpoint (or what is given for it), and no file may come of it."""

        def check(match, content=None, config=None, path='x.lcp'):
            checkpoint = files[1]
            if content is not None:
                checkpoint = tmp_path / 'bad.pth'
                torch.save(content, checkpoint)
            with pytest.raises(CompressionError, match=match):
                pack_detector(checkpoint, config or files[0], tmp_path / path)
            assert not (tmp_path / path).exists()

        return check

    def test_name_of_the_file(self, refused, packed):
        refused(r'ends in \.lcp', path='x.bin')
        with pytest.raises(CompressionError, match=r'ends in \.lcp'):
            init_packed_detector(packed.with_suffix('.pth'))

    def test_no_state_dict(self, refused):
        refused('holds no state_dict', {})
        refused('holds no state_dict', [1])
        refused('epoch is a int, not a tensor', {'epoch': 1})

    def test_another_architecture(self, refused, weights):
        name = 'backbone.stage4.0.conv.weight'
        refused(f'another architecture.*\n  {name}', {**weights, name: torch.zeros(1, 2)})
        rest = {key: value for key, value in weights.items() if key != name}
        refused(f'{name}: not in the file', rest)
        refused(r'x: \(1,\) in the file, not in the detector', {**weights, 'x': torch.zeros(1)})

    def test_nan(self, refused, weights):
        name = 'backbone.stage4.0.bn.bias'
        refused(f'{name}: .* NaN', {**weights, name: torch.full_like(weights[name], torch.nan)})

    def test_meta_that_is_not_plain(self, refused, weights):
        meta = {'a': [torch.zeros(1)]}
        refused(r'a\[0\]: a Tensor cannot be packed', {'meta': meta, 'state_dict': weights})

    def test_configs(self, refused, files):
        refused('no `model`', config=Config({'a': 1}))
        cfg = Config.fromfile(files[0])
        cfg.limit = float('inf')
        refused('config.*cannot be written', config=cfg)
        cfg = Config.fromfile(files[0])
        cfg.model.backbone.type = 'NoSuchBackbone'
        refused('mmdet cannot build .*NoSuchBackbone', config=cfg)


class TestFilesMadeOnPurpose:
    """Right checksums, but weights and config that do not belong together."""

    @pytest.fixture
    def made(self, packed, tmp_path):
        def make(change):
            reader = PackedReader(packed)
            weights, config = dict(reader.tensors()), reader.config
            change(weights, config)
            with open_writer(tmp_path / 'made.lcp') as writer:
                for name, tensor in weights.items():
                    writer.add(name, tensor)
                writer.describe(config, reader.meta)
            return tmp_path / 'made.lcp'

        return make

    def test_other_weights(self, made):
        path = made(lambda weights, config: weights.pop('backbone.stage4.0.conv.weight'))
        with pytest.raises(CompressionError, match='another architecture'):
            init_packed_detector(path, 'cpu')

    @pytest.mark.parametrize(
        'change',
        [
            lambda config: config.clear(),
            lambda config: config.update(model=1),
            lambda config: config['model'].update(type='NoSuchDetector'),
            lambda config: config.update(text='reserved'),
        ],
    )
    def test_other_configs(self, made, change):
        path = made(lambda weights, config: change(config))
        with pytest.raises(CompressionError, match=r'config|cannot build'):
            init_packed_detector(path, 'cpu')

    def test_code_in_a_config(self, made, tmp_path):
        """A key that would become a line of the config file; nothing is written."""
        key = f"a=1\nopen({str(tmp_path / 'mark')!r}, 'w')\nb"
        path = made(lambda weights, config: config.update({key: 1}))
        with pytest.raises(CompressionError, match=r'made\.lcp.*config'):
            unpack_detector(path, tmp_path / 'c.pth', tmp_path / 'c.py')
        assert not any((tmp_path / name).exists() for name in ('c.pth', 'c.py', 'mark'))
