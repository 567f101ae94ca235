"""tools/pack.py: packs, unpacks and informs; mistakes are named."""

import re
from pathlib import Path

import mmdet
import pytest
import tiny
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from processes import Script

from mmdet_lcp.cli import pack as tool
from mmdet_lcp.codec import PackedReader, tensor_facts

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'pack.py'
MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A plain config and a checkpoint whose weights share 31 values, four fifths of them zero."""
    folder = tmp_path_factory.mktemp('pack')
    config = tiny.make_config(folder, tiny.make_data(folder / 'digits'))
    cfg = Config.fromfile(config)
    for key in ('pruning', 'runner_type'):
        cfg.pop(key, None)
    cfg.load_from = None
    cfg.dump(folder / 'plain.py')
    rng = torch.Generator().manual_seed(0)
    weights = MODELS.build(cfg.model).state_dict()
    for name, weight in weights.items():
        if weight.dim() > 1:
            step = weight.abs().max() / 15
            alive = torch.rand(weight.shape, generator=rng) < 0.2
            weights[name] = torch.round(weight / step) * step * alive + 0.0
    meta = {'dataset_meta': {'classes': tuple('0123456789')}}
    torch.save({'meta': meta, 'state_dict': dict(weights)}, folder / 'plain.pth')
    return folder


@pytest.fixture(scope='module')
def packed(folder) -> Path:
    tool.main(['pack', *map(str, (folder / 'plain.py', folder / 'plain.pth', folder / 'x.lcp'))])
    return folder / 'x.lcp'


@pytest.fixture
def fails(capsys):
    def run(*args) -> str:
        capsys.readouterr()
        assert tool.main([str(arg) for arg in args]) == 1
        printed = capsys.readouterr().err
        assert printed.startswith('error: ') and printed.count('\n') == 1
        return printed

    return run


def test_mmdet_tests_what_was_packed_and_unpacked(packed, folder, tmp_path):
    """The three commands as a user types them; mmdet's own tool measures the same mAP."""
    args = [folder / 'plain.py', folder / 'plain.pth', tmp_path / 'y.lcp']
    printed = Script(TOOL, ['pack', *args], tmp_path / 'a').check().out
    file = tmp_path / 'y.lcp'
    assert file.read_bytes() == packed.read_bytes()
    assert f'y.lcp: {file.stat().st_size} bytes for' in printed
    assert 'read back and compared' in printed
    printed = Script(TOOL, ['unpack', file], tmp_path / 'b').check().out
    assert 'y.pth' in printed and 'y.py' in printed

    def metrics(*files) -> list[str]:
        args = [*files, '--work-dir', tmp_path / 'test']
        script = Script(MMDET_TOOLS / 'test.py', args, tmp_path / 'c').check()
        return re.findall(r'coco/bbox_mAP\w*: (\S+)', script.out + script.err)

    before = metrics(folder / 'plain.py', folder / 'plain.pth')
    assert len(before) == 6
    assert metrics(tmp_path / 'y.py', tmp_path / 'y.pth') == before


def test_info_adds_up(packed, capsys):
    tool.main(['info', str(packed)])
    printed = capsys.readouterr().out
    reader = PackedReader(packed)
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in printed.splitlines()]
    rows = {row[0]: row[1:] for row in rows if row}
    assert set(reader.records) < set(rows)
    sizes = [int(rows[name][3]) for name in reader.records]
    assert int(rows['all tensors'][3]) == sum(sizes)
    assert int(rows['file'][3]) == packed.stat().st_size
    assert int(rows['config, names, ...'][3]) == packed.stat().st_size - sum(sizes)
    name = 'backbone.stage4.1.conv.weight'
    weight = dict(reader.tensors())[name]
    shape, coding, bits, size, bound, factor = rows[name]
    assert shape == 'x'.join(map(str, weight.shape))
    assert coding.startswith('sparse ')
    assert float(bits) == pytest.approx(8 * int(size) / weight.numel(), abs=0.01)
    assert float(factor) == pytest.approx(4 * weight.numel() / int(size), abs=0.1)
    (facts,) = [one for one in tensor_facts(reader) if one.record.name == name]
    assert int(bound) == round(facts.bound) <= int(size)
    assert rows['backbone.stage4.1.bn.num_batches_tracked'][:3] == ['scalar', 'raw', '64.00']
    above = float(re.search(r'([\d.]+) % above their entropy', printed)[1])
    assert 0 <= above < 3
    assert 'classes: 0, 1, 2' in printed


def test_the_order_of_earlier_releases(packed, folder, tmp_path):
    files = (folder / 'plain.pth', folder / 'plain.py', tmp_path / 'z.lcp')
    assert tool.main(['pack', *map(str, files)]) != 1
    assert files[-1].read_bytes() == packed.read_bytes()


def test_options(folder, packed, tmp_path, capsys):
    args = ['pack', str(folder / 'plain.py'), str(folder / 'plain.pth')]
    tool.main([*args, str(tmp_path / 'h.lcp'), '--half', '--conv-gap-bits', '3'])
    reader = PackedReader(tmp_path / 'h.lcp')
    assert reader.records['backbone.stage4.1.bn.bias'].size > 0
    assert any(record.stored for record in reader.records.values())
    gaps = [record.gaps.bits for record in reader.records.values() if record.gaps]
    assert gaps and set(gaps) <= {3, 5}
    assert '--plain-zeros' not in capsys.readouterr().out


def test_negative_zeros_are_noted(folder, tmp_path, capsys):
    content = torch.load(folder / 'plain.pth', weights_only=True)
    weights = content['state_dict']
    for name, tensor in weights.items():
        if tensor.dim() > 1:
            weights[name] = torch.where(tensor == 0, -tensor, tensor)
    torch.save(content, tmp_path / 'minus.pth')
    args = ['pack', str(folder / 'plain.py'), str(tmp_path / 'minus.pth')]
    tool.main([*args, str(tmp_path / 'a.lcp')])
    assert '--plain-zeros' in capsys.readouterr().out
    tool.main([*args, str(tmp_path / 'b.lcp'), '--plain-zeros'])
    assert '--plain-zeros' not in capsys.readouterr().out
    sizes = [(tmp_path / name).stat().st_size for name in ('a.lcp', 'b.lcp')]
    assert sizes[1] < 0.95 * sizes[0]


def test_no_classes_are_noted(folder, tmp_path, capsys):
    weights = torch.load(folder / 'plain.pth', weights_only=True)['state_dict']
    torch.save(weights, tmp_path / 'bare.pth')
    files = [folder / 'plain.py', tmp_path / 'bare.pth', tmp_path / 'bare.lcp']
    tool.main(['pack', *map(str, files)])
    assert 'bare.pth names no classes' in capsys.readouterr().out


class TestErrors:
    def test_files_that_do_not_exist(self, fails, folder, tmp_path):
        out = tmp_path / 'x.lcp'
        assert 'no such file' in fails('pack', folder / 'plain.py', 'nowhere.pth', out)
        assert 'no such config' in fails('pack', 'nowhere.py', folder / 'plain.pth', out)
        assert 'no such file' in fails('info', 'nowhere.lcp')
        assert 'no such file' in fails('unpack', 'nowhere.lcp')
        assert not out.exists()

    def test_unpack_overwrites_nothing(self, fails, packed, tmp_path):
        files = ['--checkpoint', tmp_path / 'a.pth', '--config', tmp_path / 'a.py']
        (tmp_path / 'a.py').write_text('mine')
        assert 'a.py: exists; --force' in fails('unpack', packed, *files)
        assert (tmp_path / 'a.py').read_text() == 'mine'
        tool.main(['unpack', str(packed), *map(str, files), '--force'])
        assert 'model' in Config.fromfile(tmp_path / 'a.py')

    def test_damaged_file(self, fails, packed, tmp_path):
        file = tmp_path / 'cut.lcp'
        file.write_bytes(packed.read_bytes()[:-1])
        assert 'cut short or damaged' in fails('info', file)
        assert 'cut short or damaged' in fails('unpack', file)

    def test_bits(self, fails, folder, tmp_path):
        files = [folder / 'plain.py', folder / 'plain.pth', tmp_path / 'x.lcp']
        assert 'conv_gap_bits=9' in fails('pack', *files, '--conv-gap-bits', 9)
        assert 'ends in .lcp' in fails('pack', *files[:2], tmp_path / 'x.zip')


def test_help_teaches(capsys):
    for command in ([], ['pack'], ['unpack'], ['info']):
        with pytest.raises(SystemExit) as stop:
            tool.main([*command, '--help'])
        assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ('init_packed_detector', '--plain-zeros', '--half', 'docs/packed_file.md'):
        assert word in text
