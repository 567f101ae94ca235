"""Every command of the pages is run, up to what takes minutes, or stands in a list that says why.

A training is run until it would begin: its config is read with the command's options, and what
its runner reads of it. A comparison plans its runs. What a test runs as the pages have it, at
tiny size, counts as run there.
"""

import contextlib
import importlib
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.utils import register_all_modules
from mmengine.config import Config
from page_commands import MMDET, PAGES, ROOT, PageCommand, all_commands, commands_of, sandbox

from mmdet_lcp.chain.links import KINDS
from mmdet_lcp.cli import compare, compare_students, train
from mmdet_lcp.comparison.ground import Ground, prepare_ground
from mmdet_lcp.config.top_level import check_top_level
from mmdet_lcp.datasets import generate_digits
from mmdet_lcp.registry import CRITERIA, LAYER_KINDS, LOSS_TERMS, UPDATES
from mmdet_lcp_start.commands import COMMANDS, find

# By tool and options: the test that runs them.
RUN_BY = {
    ('detect', ('--out',)): 'runtime/test_command.py::test_one_photo',
    ('export', ('--out',)): 'cli/test_export.py::test_another_checkpoint',
    ('export', ('--int8', '--out')): 'cli/test_export.py::test_files_and_table',
    ('export', ('--evaluate', '--int8', '--out')): 'cli/test_export.py::test_files_and_table',
    ('export', ('--evaluate', '--int8', '--keep', '--out')): (
        'cli/test_export.py::test_another_engine'
    ),
    ('export', ('--batch', '--decoded', '--out', '--preprocessed')): (
        'cli/test_export.py::test_for_an_npu'
    ),
    ('rknn', ('--int8', '--out', '--platform')): (
        'runtime/rknn/test_command.py::test_it_says_what_was_written_and_what_comes_next'
    ),
    ('support', ('--detectors',)): 'cli/test_support_table.py::test_everything_works',
    ('report', ()): 'cli/test_report.py::test_runs',
    ('tabulate-runs', ()): 'cli/test_tabulate_runs.py::test_prints_and_writes',
    ('merge-comparisons', ('--out',)): 'cli/test_merge_comparisons.py::test_a_table_and_a_folder',
    ('pack', ()): 'cli/test_pack.py::test_info_adds_up',
    ('measure-steps', ('--out', '--runtime')): 'cli/test_measure_steps.py::test_here_at_once',
    ('latency-kit', ('--out',)): 'cli/test_latency_kit.py::test_a_kit',
    ('sensitivity', ('--out', '--target')): 'cli/test_sensitivity.py::test_all_cells_are_there',
    ('sensitivity', ('--measure', '--out', '--ratios', '--target')): (
        'cli/test_sensitivity.py::test_by_map_on_the_validation_images'
    ),
    ('python measure.py', ('--threads',)): (
        'export/layer_kit/test_run.py::test_runs_without_the_package'
    ),
    (f'python {MMDET}/.mim/tools/test.py', ()): (
        'cli/test_pack.py::test_mmdet_tests_what_was_packed_and_unpacked'
    ),
    ('python tools/dev/fold_norms.py', ()): (
        'tools/test_fold_norms.py::test_the_same_detector_without_norms'
    ),
    ('python tools/dev/boxes_as_masks.py', ()): (
        'tools/dev/test_boxes_as_masks.py::test_every_file_of_a_folder'
    ),
    ('tools/dist_train.sh', ()): 'tools/test_launchers.py::test_one_machine',
    ('tools/slurm_train.sh', ()): 'tools/test_launchers.py::test_slurm',
}
# By tool: why no test runs it.
NOT_RUN = {
    'make setup': 'it compiles mmcv',
    'make demo': 'it trains for minutes',
    'make test': 'it runs this test, and all others',
    'pip': 'it installs, from an index',
    'sudo': 'it installs, into the system',
    'torchrun': 'eight processes',
    'python -c': 'it asks where mmdet lies',
    'python benchmarks/detectors.py': 'it times detectors, for minutes',
}
# Files that commands of the same page write, or that the reader brings; empty ones do.
FILES = (
    'photos/one.jpg',
    'work_dirs/compact/bccd_lcp_0.182_s0/pruned_config.py',
    'work_dirs/compact_digits_pruned/lcp_0.2086_s0/pruned_config.py',
    'work_dirs/bccd_more/lcp_0.5',
    'work_dirs/digits_more/lcp',
)
RATIOS = '{"backbone.stage4.1.conv": 0.25, "stage5": 0.5}'
RATIO_FILES = (
    'work_dirs/sensitivity/ratios.json',
    'work_dirs/compare_txlpbc_trained/cells/lcp_exact_rmacs0.1_s0/run/report.json',
)
EPOCH = 37  # iterations of an epoch of the real blood cells; the digits have more
TXLPBC_EPOCH = 104  # of the real ones
WITH_TARGET = """
_base_ = 'configs/lcp/ssd_narrow_vgg_prune_bccd.py'
target = dict(latency=0.5, runtime='onnxruntime', threads=1)
pruning = dict(ratio=None, channel_divisor='auto', target=target)
"""
# Configs that the reader writes: one of the same kind here.
OWN = {
    'my_detector_pruned.py': 'configs/lcp/ssd_narrow_vgg_prune_bccd.py',
    'my_ssd.py': 'configs/ssd/ssd_narrow_vgg_bccd.py',
    'my_ssd_pruned.py': 'configs/lcp/ssd_narrow_vgg_prune_bccd.py',
    'my_student.py': 'configs/mimic/ssd_half_width_bccd_mimic.py',
    'CONFIG': 'configs/lcp/ssd_narrow_vgg_prune_bccd.py',
}
OF_TARGETS = {'CONFIG': 'with_target.py'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('pages')


@pytest.fixture(scope='module')
def found(folder) -> list[PageCommand]:
    (folder / 'with_target.py').write_text(WITH_TARGET)
    steps = ROOT / 'mmdet_lcp' / 'measure' / 'steps' / 'x86_64_avx512_onnxruntime.json'
    for path in RATIO_FILES:
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(RATIOS)
    (folder / 'steps.json').write_text(steps.read_text())
    generate_digits(folder / 'data' / 'digits', sizes={'train': 8, 'val': 1, 'test': 1})
    write_cells(folder / 'data' / 'BCCD')
    write_coco(folder / 'data' / 'txlpbc')
    checkpoints = {
        name
        for path in (ROOT / 'configs').rglob('*.py')
        for name in re.findall(r"'(work_dirs/.*\.pth)'", path.read_text())
    }
    return all_commands(folder, [*FILES, *checkpoints])


def write_coco(folder: Path) -> None:
    """Blood cells in COCO's format, eight noise images with a cell each."""
    for kind in ('annotations', 'images'):
        (folder / kind).mkdir(parents=True)
    images, boxes = [], []
    for number in range(8):
        name = f'cell_{number}.jpg'
        cv2.imwrite(str(folder / 'images' / name), np.full((192, 192, 3), 99, 'u1'))
        images.append(dict(id=number, file_name=name, width=192, height=192))
        box = dict(bbox=[20, 30, 70, 50], area=3500, category_id=1, iscrowd=0)
        boxes.append(dict(id=number + 1, image_id=number, **box))
    kinds = [dict(id=number, name=name) for number, name in enumerate(('WBC', 'RBC', 'Platelets'))]
    data = json.dumps(dict(images=images, annotations=boxes, categories=kinds))
    for part in ('train', 'val', 'test'):
        (folder / 'annotations' / f'instances_{part}.json').write_text(data)


def write_cells(folder: Path) -> None:
    """Blood cells in the layout of the real ones, eight noise images with a cell each."""
    for kind in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (folder / kind).mkdir(parents=True)
    names = [f'cell_{number}' for number in range(8)]
    for name in names:
        cv2.imwrite(str(folder / 'JPEGImages' / f'{name}.jpg'), np.full((192, 192, 3), 99, 'u1'))
        box = '<xmin>20</xmin><ymin>30</ymin><xmax>90</xmax><ymax>80</ymax>'
        (folder / 'Annotations' / f'{name}.xml').write_text(
            '<annotation><size><width>192</width><height>192</height></size><object>'
            f'<name>RBC</name><difficult>0</difficult><bndbox>{box}</bndbox></object></annotation>'
        )
    for part in ('train', 'trainval', 'val', 'test'):
        (folder / 'ImageSets' / 'Main' / f'{part}.txt').write_text('\n'.join(names))


def test_there_are_some_of_every_tool(found):
    names = {command.name for command in found}
    assert len(found) > 150
    # what prints a list of commands shows one of every kind
    assert names >= {command.name for command in COMMANDS} - {'make-digits'}
    assert {command.page for command in found} <= {str(p.relative_to(ROOT)) for p in PAGES}


def test_the_shell_expands_what_a_reader_would_type(tmp_path):
    text = (
        'DIR=work_dirs/x\n'
        'for seed in 0 1; do\n'
        '  mmdet-lcp train a_{b,c}.py --seed $seed \\\n      --work-dir $DIR  # a remark\n'
        'done\n'
        'python $(python -c "print()")/test.py tools/../configs/lcp/compare_b*.py\n'
    )
    found = commands_of(text, 'page.md', sandbox(tmp_path))
    words = 'mmdet-lcp train a_b.py a_c.py --seed {} --work-dir work_dirs/x'
    assert [' '.join(command.words) for command in found] == [
        words.format(0),
        words.format(1),
        'python -c print()',
        f'python {MMDET}/test.py tools/../configs/lcp/compare_bccd.py',
    ]
    assert found[0].name == 'train' and found[0].options == {'--seed', '--work-dir'}
    for wrong in ('mmdet-lpc train', 'mmdet-lcp train $nothing', 'ls configs/lcp/no_such_*.py'):
        with pytest.raises(AssertionError, match=r'page\.md'):
            commands_of(wrong, 'page.md', tmp_path)


def test_every_command_is_run_or_listed(found):
    """One that is in no list fails; so does an entry that no page needs."""
    needed = set()
    for command in found:
        if command.name in HANDLED:
            continue
        key = (command.name, tuple(sorted(command.options)))
        known = RUN_BY.get(key) or NOT_RUN.get(command.name)
        assert known, f'{command.page}: {" ".join(command.words)}: run it, or say why not'
        needed.add(key if key in RUN_BY else command.name)
    assert needed == RUN_BY.keys() | NOT_RUN.keys()


@pytest.mark.parametrize(('key', 'test'), RUN_BY.items(), ids=lambda v: str(v)[:40])
def test_the_test_that_runs_it_is_there(key, test):
    """And its file gives the tool every option that it counts for."""
    file, name = test.split('::')
    text = (ROOT / 'tests' / file).read_text()
    assert re.search(rf'^ *def {name}\(', text, re.M), test
    assert not [option for option in key[1] if option not in text]


def test_arguments_that_tests_run_elsewhere_are_read(found):
    tools = {command.name for command in COMMANDS}
    read = 0
    for command in found:
        if command.name not in tools or command.name in HANDLED:
            continue
        tool = importlib.import_module(
            f'{find(command.name).package}.{find(command.name).module_name}'
        )
        if hasattr(tool, 'parse_args'):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                try:
                    tool.parse_args(command.arguments)
                except SystemExit:
                    pytest.fail(f'{command.page}: {" ".join(command.words)}: {said.getvalue()}')
            read += 1
    assert read > 10


class TestRun:
    """In this process, each command as it is on the page."""

    @pytest.fixture(autouse=True)
    def place(self, folder, found, monkeypatch):
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder)
        register_all_modules()
        before = set(sys.modules)
        yield
        for name in set(sys.modules) - before:  # what the pages' own modules have registered
            if str(folder) in str(getattr(sys.modules[name], '__file__', None)):
                del sys.modules[name]
                for known in (CRITERIA, UPDATES, LOSS_TERMS, LAYER_KINDS):
                    for key in [
                        k for k, kind in known.module_dict.items() if kind.__module__ == name
                    ]:
                        del known.module_dict[key]

    @pytest.mark.parametrize('name', ['train', 'compare', 'compare-students'])
    def test_it_runs(self, found, folder, name, monkeypatch, capsys):
        for path in ('mmdet_lcp.cli.train.RUNNERS.build', 'mmdet_lcp.cli.train.Runner.from_cfg'):
            monkeypatch.setattr(path, _read)
        monkeypatch.setattr('mmdet_lcp.comparison.plan.prepare_ground', _once(prepare_ground))
        for command in (one for one in found if one.name == name):
            own = OF_TARGETS if command.page == 'docs/targets.md' else OWN
            arguments = [own.get(word, word) for word in command.arguments]
            status = HANDLED[name](arguments)
            assert status == 0, f'{command.page}: {command.words}: {capsys.readouterr().err}'


def _read(cfg: Config) -> 'Nothing':
    """In the place of a runner: reads all that it reads of its config."""
    kind = KINDS.get(str(cfg.get('runner_type')).removeprefix('mmdet_lcp.'))
    check_top_level(cfg, () if kind is None else (kind.key,))
    if kind is not None:
        kind.check(cfg)
    return Nothing()


class Nothing:
    """Trains nothing."""

    def train(self) -> None:
        """Do nothing."""


def _once(prepare: Callable[[Config], Ground]) -> Callable[[Config], Ground]:
    """Build a detector and its data for the first of the commands that share them."""
    known: dict[str, Ground] = {}

    def prepared(cfg: Config) -> Ground:
        loaders = [cfg[f'{name}_dataloader'] for name in ('train', 'val', 'test')]
        key = repr((cfg.model, loaders))
        if key not in known:
            length = TXLPBC_EPOCH if 'txlpbc' in key else EPOCH
            known[key] = replace(prepare(cfg), epoch_length=length)
        return known[key]

    return prepared


def _train(arguments: list[str]) -> int:
    return train.main(arguments)


def _compare(arguments: list[str]) -> int:
    return compare.main([*arguments, '--dry-run'])


def _students(arguments: list[str]) -> int:
    return compare_students.main([*arguments, '--dry-run'])


HANDLED: dict[str, Callable[[list[str]], int]] = {
    'train': _train,
    'compare': _compare,
    'compare-students': _students,
}
