"""Each fix of compat.py, with the defect it mends shown first where that is possible."""

import io
import os
import pickle
import subprocess
import sys
import textwrap
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmcv.ops import RoIAlign
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleLR
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from mmdet_lcp import compat

compat.apply()
ROOT = Path(__file__).parents[1]
checks_pickles = pytest.mark.skipif(
    compat._torch_version() < (2, 6), reason='torch.load checks pickles since torch 2.6'
)


def reload(thing):
    """``thing`` after torch.save and torch.load with the check on."""
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def fresh_python(code: str, **env) -> subprocess.CompletedProcess:
    """Run code in a process where no fix was applied yet."""
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_apply_is_idempotent():
    from mmdet.models.dense_heads import SSDHead
    from mmengine.model import MMDistributedDataParallel

    before = SSDHead.__init__, MMDistributedDataParallel.__init__
    known = len(torch.serialization.get_safe_globals()) if compat._torch_version() >= (2, 6) else 0
    compat.apply()
    assert (SSDHead.__init__, MMDistributedDataParallel.__init__) == before
    if known:
        assert len(torch.serialization.get_safe_globals()) == known


# ------------------------------------------------------------------------------- SSD predicts


def ssd_head(num_classes: int = 2):
    from mmdet.models.dense_heads import SSDHead

    return SSDHead(
        num_classes=num_classes,
        in_channels=(8,),
        anchor_generator=dict(
            type='mmdet.SSDAnchorGenerator',
            scale_major=False,
            strides=[16],
            ratios=[[2]],
            min_sizes=[20],
            max_sizes=[40],
        ),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder', target_stds=(0.1, 0.1, 0.2, 0.2)),
        test_cfg=ConfigDict(
            nms_pre=100, nms=dict(type='nms', iou_threshold=0.99), score_thr=0.0, max_per_img=100
        ),
    )


def test_ssd_scores_are_the_softmax_without_background():
    head = ssd_head()
    cells, priors, classes = 2 * 2, 4, 3
    torch.manual_seed(0)
    logits = torch.randn(1, priors * classes, 2, 2)
    deltas = torch.zeros(1, priors * 4, 2, 2)
    meta = dict(img_shape=(1000, 1000), scale_factor=(1.0, 1.0))
    (found,) = head.predict_by_feat([logits], [deltas], batch_img_metas=[meta], rescale=False)

    flat = logits[0].permute(1, 2, 0).reshape(cells * priors, classes)
    expected = flat.softmax(-1)[:, :-1]  # the last class is background
    anchors = head.prior_generator.grid_priors([(2, 2)], device='cpu')[0].clamp(0, 1000)
    for label in (0, 1):
        mine = found.labels == label
        for box, score in zip(found.bboxes[mine], found.scores[mine], strict=True):
            nearest = (anchors - box).abs().sum(1).argmin()  # zero deltas: a box is its anchor
            assert torch.allclose(anchors[nearest], box, atol=1e-4)
            assert score.item() == pytest.approx(expected[nearest, label].item(), abs=1e-6)
    assert len(found) == cells * priors * 2


def test_ssd_subclass_may_still_have_a_loss_module():
    from mmdet.models.dense_heads import SSDHead

    class Mine(SSDHead):
        def __init__(self):
            super().__init__(
                in_channels=(8,),
                anchor_generator=dict(
                    type='mmdet.SSDAnchorGenerator',
                    strides=[16],
                    ratios=[[2]],
                    min_sizes=[20],
                    max_sizes=[40],
                ),
                bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            )
            self.loss_cls = nn.CrossEntropyLoss()

    assert isinstance(Mine().loss_cls, nn.CrossEntropyLoss)
    assert ssd_head().loss_cls is None
    assert not [k for k in ssd_head().state_dict() if 'loss' in k]


# ----------------------------------------------------------------------------- checkpoints


class Points(BaseDataset):
    METAINFO: ClassVar[dict] = dict(classes=('a', 'b'), palette=[(1, 2, 3)])

    def load_data_list(self):
        return [dict(x=float(i)) for i in range(8)]

    def prepare_data(self, index):
        return dict(inputs=torch.tensor([self.get_data_info(index)['x']]))


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        y = self.layer(torch.stack(inputs) if isinstance(inputs, list) else inputs)
        return dict(loss=((y - 2) ** 2).mean()) if mode == 'loss' else y


class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        return dict(score=np.float64(len(results)), count=np.int64(3))


def runner(work_dir, epochs: int, **changes) -> Runner:
    data = dict(
        batch_size=2,
        num_workers=0,
        dataset=Points(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='pseudo_collate'),
    )
    arguments = dict(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=data,
        val_dataloader=data,
        val_evaluator=[Nothing()],
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.5, end=1),
            dict(type='MultiStepLR', milestones=[1]),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, save_best='score', rule='greater')
        ),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=f'{Path(work_dir).name}_{epochs}_{len(changes)}',
        default_scope='mmengine',
        log_level='ERROR',
        cfg=Config(dict(some=dict(key=1))),
    )
    arguments.update(changes)
    return Runner(**arguments)


def test_a_runner_reads_the_checkpoint_that_it_wrote(tmp_path):
    first = runner(tmp_path, epochs=1)
    first.train()
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert {'message_hub', 'optimizer', 'param_schedulers', 'state_dict'} <= set(saved)
    assert isinstance(saved['message_hub']['log_scalars']['train/loss'], HistoryBuffer)

    second = runner(tmp_path, epochs=2, resume=True, custom_hooks=[])
    second.load_or_resume()
    assert second.epoch == 1 and second.iter == 4
    assert torch.equal(second.model.layer.weight, saved['state_dict']['layer.weight'])

    second = runner(tmp_path, epochs=2, resume=True, randomness=dict(seed=1))
    second.train()
    assert second.epoch == 2 and (tmp_path / 'epoch_2.pth').exists()
    best = second.message_hub.get_info('best_score')
    assert best == 8.0 or best == 4.0


@pytest.mark.parametrize('strategy', ['cos', 'linear'])
def test_one_cycle_schedules_can_be_resumed(strategy):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, eta_max=0.1, total_steps=10, anneal_strategy=strategy)
    state = reload(scheduler.state_dict())
    assert state['anneal_func'] is getattr(OneCycleLR, f'_annealing_{strategy}')


@pytest.mark.parametrize(
    'value',
    [
        np.float64(0.5),
        np.float32(0.5),
        np.int64(-3),
        np.bool_(True),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.zeros((0, 2), np.float32),
        np.asfortranarray(np.random.default_rng(0).random((3, 4))),
    ],
    ids=lambda v: f'{type(v).__name__}-{v.dtype}',
)
def test_numpy_numbers_come_back_as_they_were(value):
    back = reload({'value': value})['value']
    assert type(back) is type(value) and back.dtype == value.dtype
    assert np.array_equal(back, value)


def test_a_history_without_entries_comes_back():
    back = reload(HistoryBuffer())
    assert [len(part) for part in back.data] == [0, 0]


def test_history_buffer_works_after_the_journey():
    buffer = HistoryBuffer([1.0, 2.0, 4.0], [1, 1, 1])
    back = reload(buffer)
    back.update(5.0)
    assert back.statistics('mean') == 3.0 and back.statistics('max') == 5.0
    assert back.statistics('min') == 1.0 and back.statistics('current') == 5.0


def test_config_dict_comes_back():
    back = reload(dict(meta=ConfigDict(classes=('a',), nested=dict(x=1))))['meta']
    assert type(back) is ConfigDict and back.nested.x == 1


@checks_pickles
def test_numpy_1_names_are_understood():
    """A checkpoint written under NumPy 1 says ``numpy.core``, under NumPy 2 ``numpy._core``."""
    file = io.BytesIO()
    torch.save(
        {'a': np.arange(3.0), 'b': np.float64(2)}, file, _use_new_zipfile_serialization=False
    )
    raw = file.getvalue()
    here = b'numpy._core' if b'numpy._core' in raw else b'numpy.core'
    for name in (b'numpy._core', b'numpy.core'):
        back = torch.load(io.BytesIO(raw.replace(here, name)), weights_only=True)
        assert back['a'].tolist() == [0, 1, 2] and back['b'] == 2


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@checks_pickles
@pytest.mark.parametrize(
    'evil',
    [
        Call(os.system, 'true'),
        Call(eval, '1'),
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, HistoryBuffer, '__class__'),
        Call(getattr, OrderedDict, 'mro'),
        Call(getattr, np.ndarray, '__new__'),
        Call(np.ndarray, (1,), 'O', bytes(8)),
        Call(np.dtype, 'O'),
        Call(np.dtype, 'V8'),
        np.array([None], dtype=object),
        np.array(['a']),
    ],
    ids=lambda e: str(getattr(e, 'call', type(e)))[:60],
)
def test_everything_else_is_still_refused(evil):
    file = io.BytesIO()
    torch.save({'state_dict': evil}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(file)


@checks_pickles
def test_mmengine_refuses_a_malicious_checkpoint(tmp_path):
    from mmengine.runner import load_checkpoint

    mark = tmp_path / 'mark'
    torch.save({'state_dict': Call(os.system, f'touch {mark}')}, tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(Line(), str(tmp_path / 'evil.pth'))
    assert not mark.exists()


# ---------------------------------------------------------------------- export


def through_onnx(network: nn.Module, *inputs: torch.Tensor, opset: int = 17) -> list[torch.Tensor]:
    """What ONNX Runtime makes of a network."""
    runtime = pytest.importorskip('onnxruntime')
    buffer = io.BytesIO()
    torch.onnx.export(network.eval(), inputs, buffer, dynamo=False, opset_version=opset)
    session = runtime.InferenceSession(buffer.getvalue(), providers=['CPUExecutionProvider'])
    names = [node.name for node in session.get_inputs()]
    values = (value.numpy() for value in inputs)
    return [
        torch.from_numpy(out) for out in session.run(None, dict(zip(names, values, strict=True)))
    ]


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_in_onnx(aligned, sampling_ratio):
    """Regions far below a cell too, which opset 10 enlarges."""
    maps = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0.0, 3, 5, 7, 6], [1, 0, 0, 100, 90], [1, 50.5, 60, 80, 61]])
    network = RoIAlign((2, 3), 1 / 16, sampling_ratio, 'avg', aligned)
    found = through_onnx(network, maps, rois)[0]
    torch.testing.assert_close(found, network(maps, rois), rtol=1e-5, atol=1e-6)


def test_roi_align_below_opset_16():
    """mmcv's own form, which is right for regions of a cell and more."""
    maps = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rois = torch.tensor([[0.0, 3, 5, 70, 60]])
    network = RoIAlign((2, 3), 1 / 16, 2, 'avg', True)
    found = through_onnx(network, maps, rois, opset=12)[0]
    torch.testing.assert_close(found, network(maps, rois), rtol=1e-5, atol=1e-6)


def test_box_decoding_in_onnx():
    coder = DeltaXYWHBBoxCoder()

    class Decode(nn.Module):
        def forward(self, boxes, deltas):
            return coder.decode(boxes, deltas, max_shape=(60, 80))

    boxes = torch.tensor([[10.0, 10, 30, 50], [40, 20, 80, 60]])
    deltas = torch.tensor([[0.1, 0, 0, 0], [1, 0, 0, 0]])
    found = through_onnx(Decode(), boxes, deltas)[0]
    expected = torch.tensor([[12.0, 10, 32, 50], [80, 20, 80, 60]])  # the second is cut at 80
    torch.testing.assert_close(found, expected)


# ---------------------------------------------------------------------- processes without CUDA

DISTRIBUTED = """
    import atexit, os, sys, torch
    from pathlib import Path
    from torch import nn
    from mmengine.dist import all_reduce, get_rank

    def tell():  # registered before the group is made, so it runs after all that comes with it
        if not torch.distributed.is_initialized():
            Path(sys.argv[1], 'closed' + os.environ['RANK']).touch()

    atexit.register(tell)
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from mmdet_lcp import compat
    compat.apply()
    assert compat.init_cpu_process_group(timeout_s=120)
    assert not compat.init_cpu_process_group()

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)
        def forward(self, inputs, mode):
            return dict(loss=((self.layer(torch.stack(inputs)) - 2) ** 2).mean())

    data = [dict(inputs=torch.tensor([float(i)])) for i in range(8)]
    runner = Runner(
        model=Line(), work_dir=sys.argv[1], launcher='pytorch', log_level='ERROR',
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=data,
                              sampler=dict(type='DefaultSampler', shuffle=True),
                              collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)))
    runner.train()
    assert type(runner.model).__name__ == 'MMDistributedDataParallel'
    assert runner.iter == 2, 'each of two processes sees half of the data'
    weight = runner.model.module.layer.weight.detach().clone()
    total = weight.clone()
    all_reduce(total, 'sum')
    assert torch.allclose(total, 2 * weight), 'both processes hold the same weights'
    Path(sys.argv[1], f'done{get_rank()}').touch()  # two ranks' prints may run together
"""


def run_two_processes(folder: Path, code: str) -> None:
    """Run code by torchrun, with the folder as its argument."""
    script = folder / 'script.py'
    script.write_text(textwrap.dedent(code))
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    command += ['--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0', str(script), str(folder)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without CUDA')
def test_two_processes_train_on_cpu(tmp_path):
    run_two_processes(tmp_path, DISTRIBUTED)
    assert sorted(path.name for path in tmp_path.glob('done*')) == ['done0', 'done1']
    assert len(list(tmp_path.glob('closed*'))) == 2, 'the group is closed before the process ends'


# One process holds the lock while gloo's thread wants it, up to the process's end.
LOCKED = """
    import sys, torch
    import torch.distributed as dist
    from mmdet_lcp import compat

    assert compat.init_cpu_process_group(timeout_s=120)
    numbers = torch.ones(100)
    sys.setswitchinterval(1000)
    for _ in range(30):
        dist.all_reduce(numbers)
    sum(range(10**6))
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without CUDA')
def test_a_process_ends_though_gloo_wants_the_lock(tmp_path):
    run_two_processes(tmp_path, LOCKED)


def test_no_process_group_outside_a_launcher(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert compat.init_cpu_process_group() is False
    assert not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match='timeout_s'):
        compat.init_cpu_process_group(timeout_s=0)


# ------------------------------------------------------------------------------- config names


def test_configs_of_the_package_can_be_inherited(tmp_path):
    """In a process that knows nothing of the package's place but what is installed."""
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmdet_lcp::ssd/ssd_narrow_vgg_digits.py'\nanswer = 42\n"
    )
    code = f"""
        from mmengine.config import Config
        try:
            Config.fromfile({str(tmp_path / 'mine.py')!r})
        except AssertionError as error:
            assert 'does not support' in str(error)
        else:
            raise SystemExit('mmengine knows the package by itself')
        import mmdet_lcp
        from mmdet.registry import MODELS
        from mmdet.utils import register_all_modules
        cfg = Config.fromfile({str(tmp_path / 'mine.py')!r})
        register_all_modules()
        print(type(MODELS.build(cfg.model).bbox_head).__name__, cfg.answer)
    """
    done = fresh_python(code)
    assert done.stdout.strip().endswith('SSDHead 42'), done.stderr[-2000:]


# ---------------------------------------- what new torch and NumPy could break, and does not


def detections() -> tuple[InstanceData, dict]:
    boxes = torch.tensor([[10.0, 10.0, 50.0, 50.0], [60.0, 20.0, 90.0, 80.0]])
    labels = torch.tensor([0, 1])
    found = dict(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=labels)
    return InstanceData(bboxes=boxes, labels=labels), found


def test_voc_metric():
    from mmdet.evaluation import VOCMetric

    truth, found = detections()
    metric = VOCMetric(iou_thrs=[0.5, 0.75], eval_mode='area')
    metric.dataset_meta = dict(classes=('a', 'b'), dataset_type='VOC2012')
    empty = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    sample = dict(gt_instances=truth, ignored_instances=empty, pred_instances=found)
    metric.process({}, [sample])
    result = metric.evaluate(size=1)
    assert result['pascal_voc/mAP'] == 1 and result['pascal_voc/AP75'] == 1
    reload({'best': result['pascal_voc/mAP']})


def test_coco_metric(tmp_path):
    import json

    from mmdet.evaluation import CocoMetric

    _, found = detections()
    boxes = [[10, 10, 40, 40], [60, 20, 30, 60]]
    file = tmp_path / 'truth.json'
    annotations = [
        dict(id=i + 1, image_id=1, category_id=i, bbox=b, area=b[2] * b[3], iscrowd=0)
        for i, b in enumerate(boxes)
    ]
    file.write_text(
        json.dumps(
            dict(
                info={},
                images=[dict(id=1, width=100, height=100, file_name='a.jpg')],
                categories=[dict(id=0, name='a'), dict(id=1, name='b')],
                annotations=annotations,
            )
        )
    )
    metric = CocoMetric(ann_file=str(file), metric='bbox', classwise=True)
    metric.dataset_meta = dict(classes=('a', 'b'))
    sample = dict(pred_instances=found, img_id=1, ori_shape=(100, 100))
    metric.process({}, [sample])
    result = metric.evaluate(size=1)
    assert result['coco/bbox_mAP'] == pytest.approx(1, abs=1e-3)


def test_visualizer_draws(tmp_path):
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

    _, found = detections()
    sample = DetDataSample(pred_instances=InstanceData(**found))
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 255, 0)])
    image = np.zeros((100, 100, 3), np.uint8)
    out = tmp_path / 'out.png'
    visualizer.add_datasample('x', image, sample, draw_gt=False, out_file=str(out))
    assert out.exists() and visualizer.get_image().any()
