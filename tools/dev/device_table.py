"""The tables of docs/device.md: exported files beside mmdet, in each engine; time, memory, sizes.

  PY=tools/dev/device_table.py
  python $PY agree --work W --photos 50 --engines onnxruntime openvino ncnn mnn
  .venv-litert/bin/python $PY agree --work W --photos 50 --engines litert
  python $PY speed --work W
  python $PY start --work W --alone .venv-alone/bin/python
  python $PY page --work W --out docs/device.md

`agree` writes each detector by `mmdet-lcp export`, runs the file with the runtime package on
photos of blood cells, and compares its boxes with those of mmdet's `DetInferencer`, up to ties; of
trained detectors the mAP on the test set, too. `speed` times image files to boxes, all in turn,
and takes the least of several runs, because other work may be on the machine. `start` times whole
processes up to the first box. Results are kept in W, so that engines may have environments of
their own; `page` writes the tables between the marks of the page.

--trained NAME CONFIG CHECKPOINT names detectors with weights (`dense` and `pruned` are timed). The
others have random weights whose scores are spread.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / 'tools' / 'dev' / 'device_worker.py'
PHOTOS = 'data/BCCD/JPEGImages'
ENGINES = {
    'onnxruntime': ('ONNX Runtime', '.onnx', 'onnxruntime'),
    'openvino': ('OpenVINO', '.xml', 'openvino'),
    'ncnn': ('ncnn', '.ncnn.param', 'ncnn'),
    'mnn': ('MNN', '.mnn', 'MNN'),
    'litert': ('LiteRT', '.tflite', 'ai-edge-litert'),
}
# With random weights: config, and the scale (width, height) that its images get.
RANDOM = {
    'RetinaNet R50': ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', (256, 192)),
    'YOLOX-tiny': ('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', (320, 320)),
    'RTMDet-tiny': ('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', (320, 320)),
}
ROUNDS, TIMED_PHOTOS, STARTS = 15, 5, 5


# ---------------------------------------------------------------------------- files on disk


def read(work: Path, name: str) -> dict[str, Any]:
    """Results of before."""
    file = work / f'{name}.json'
    return json.loads(file.read_text()) if file.exists() else {}


def keep(work: Path, name: str, found: dict[str, Any]) -> None:
    """Write results."""
    work.mkdir(parents=True, exist_ok=True)
    (work / f'{name}.json').write_text(json.dumps(found, indent=1) + '\n')


def photos_of(count: int) -> list[str]:
    """The first photos, in the order of their names."""
    found = sorted(str(path) for path in Path(PHOTOS).glob('*.jpg'))
    if len(found) < count:
        sys.exit(f'error: {PHOTOS} has {len(found)} photos, {count} are wanted')
    return found[:count]


# ---------------------------------------------------------------------------- agreement


def random_detector(name: str, work: Path) -> tuple[str, str]:
    """Config and checkpoint of a detector with random weights whose scores are spread."""
    folder = work / 'random' / name.replace(' ', '_')
    config, weights = folder / 'config.py', folder / 'weights.pth'
    if not weights.exists():
        import torch
        from export_table import calm

        from mmdet_lcp.coverage.detectors import SupportedDetector, build

        path, scale = RANDOM[name]
        spec = SupportedDetector(name, path, scale[1])
        cfg = spec.read()
        for step in (*cfg.test_pipeline, *cfg.test_dataloader.dataset.pipeline):
            if step['type'] == 'Resize':
                step['scale'] = scale
            if step['type'] == 'Pad' and step.get('size'):
                step['size'] = scale
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        detector = calm(build(cfg), spec.size)
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(str(config))
        torch.save({'state_dict': detector.state_dict(), 'meta': {}}, weights)
    return str(config), str(weights)


def by_mmdet(config: str, weights: str, photos: list[str]) -> list:
    """What `DetInferencer` finds, inside the photos, with mmdet's own test pipeline."""
    from mmdet.apis import DetInferencer
    from PIL import Image

    from mmdet_lcp.export.agreement import Found

    inferencer = DetInferencer(config, weights, device='cpu', show_progress=False)
    found = []
    for photo in photos:
        (seen,) = inferencer(photo, return_datasamples=True, no_save_vis=True)['predictions']
        seen = seen.pred_instances.numpy()
        width, height = Image.open(photo).size
        boxes = np.clip(seen.bboxes, 0, [width, height] * 2)  # what the runtime does
        found.append(Found(boxes, seen.scores, seen.labels))
    return found


def exported(config: str, weights: str, engine: str, folder: Path, *more: str) -> Path | str:
    """The file that `mmdet-lcp export` writes for an engine, or why there is none."""
    from mmdet_lcp.cli.export import main

    folder.mkdir(parents=True, exist_ok=True)
    words = [config, weights, '--out', str(folder / 'x.onnx'), *more]
    if engine != 'onnxruntime':
        words += ['--to', engine]
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        done = main(words)
    if done:
        return ' '.join(told.getvalue().removeprefix('error: ').split())
    end = ENGINES[engine][1]
    return folder / f'x{".int8" if "--int8" in more else ""}{end}'


def compared(file: Path, expected: list, photos: list[str]) -> dict[str, Any]:
    """A file beside mmdet."""
    from mmdet_lcp.export.agreement import Agreement, Found, agreement
    from mmdet_lcp_runtime import Detector

    source = Detector(file.with_name('x.onnx'), threads=1)
    limits, detector = source.metadata.thresholds, Detector(file, threads=1)
    total, clock = Agreement(), 0.0
    for photo, own in zip(photos, expected, strict=True):
        begin = time.perf_counter()
        seen = detector(photo)
        clock += time.perf_counter() - begin
        best = np.argsort(-own.scores, kind='stable')[: limits.max_per_img]
        own = Found(own.boxes[best], own.scores[best], own.labels[best])
        total += agreement(
            Found(seen.boxes, seen.scores, seen.labels),
            own,
            limits.score,
            limits.iou,
            limits.max_per_img,
            limits.class_agnostic,
        )
    return {**vars(total), 'seconds': clock}


def mean_ap(config: str, weights: str, files: Sequence[Path]) -> list[float]:
    """Main metric of the detector and of files, on the test set."""
    from mmdet_lcp.cli.export import load
    from mmdet_lcp.config.file import read_config
    from mmdet_lcp.export.evaluation import FileDetector, TestSet
    from mmdet_lcp.measure.metrics import main_metric

    cfg = read_config(config)
    data = TestSet(cfg)
    found = [data.metrics(each) for each in (load(cfg, weights)[0], *map(FileDetector, files))]
    return [each[main_metric(each)] for each in found]


def agree(args: argparse.Namespace) -> None:
    """Fill the first table."""
    from mmdet.utils import register_all_modules

    import mmdet_lcp  # noqa: F401

    register_all_modules()
    photos = photos_of(args.photos)
    trained = {name: (config, weights) for name, config, weights in args.trained}
    for name in args.only or (*trained, *RANDOM):
        config, weights = trained.get(name) or random_detector(name, args.work)
        expected = by_mmdet(config, weights, photos)
        for engine in args.engines:
            folder = args.work / 'files' / name.replace(' ', '_') / engine
            file = exported(config, weights, engine, folder)
            cell: dict[str, Any] = {'refused': file}
            if isinstance(file, Path):
                cell = {'photos': len(photos), **compared(file, expected, photos)}
                files = [file]
                if name in trained and engine in ('onnxruntime', 'openvino'):
                    int8 = exported(config, weights, engine, folder, '--int8', '64')
                    files += [int8] if isinstance(int8, Path) else []
                if name in trained:
                    cell['dense_map'], cell['map'], *more = mean_ap(config, weights, files)
                    cell['int8_map'] = more[0] if more else None
            cell['version'] = importlib.metadata.version(ENGINES[engine][2])
            cell['date'] = str(datetime.date.today())
            found = read(args.work, 'agree')  # other engines may be at work beside
            row = found.setdefault(name, {'engines': {}})
            row['map'] = cell.pop('dense_map', row.get('map'))
            row['engines'][engine] = cell
            keep(args.work, 'agree', found)
            print(name, engine, cell, flush=True)


# ---------------------------------------------------------------------------- time


class Worker:
    """A process that detects on command."""

    def __init__(self, words: Sequence[str], threads: int, photos: Sequence[str]) -> None:
        kind = 'file' if len(words) == 1 else 'mmdet'
        env = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'OMP_WAIT_POLICY': 'passive'}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), kind, *words, str(threads), *photos],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip

    def ask(self, word: str) -> Any:
        """Its answer to a line."""
        self.process.stdin.write(f'{word}\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def timed(kinds: dict[str, Sequence[str]], photos: list[str], rounds: int) -> dict[str, dict]:
    """Milliseconds of a photo, the least of `rounds`, with one and two threads; peak memory.

    Args:
        kinds: words for a `Worker`, by name.
        photos: files.
        rounds: all run one after the other in each.
    """
    found: dict[str, dict] = {name: {} for name in kinds}
    for threads in (1, 2):
        workers = {name: Worker(words, threads, photos) for name, words in kinds.items()}
        seconds: dict[str, list] = {name: [] for name in kinds}
        for number in range(rounds + 1):
            for name, worker in workers.items():
                told = worker.ask('run')
                if number:
                    seconds[name].append(told)
        for name, worker in workers.items():
            best = 1e3 * np.array(seconds[name]).min(0).mean(0)
            found[name][str(threads)] = {'cpu_ms': best[0], 'clock_ms': best[1]}
            found[name]['peak_mb'] = worker.ask('end')
            worker.process.wait()
    return found


def speed(args: argparse.Namespace) -> None:
    """Fill the second table; `agree` has to have written the files."""
    trained = {name: (config, weights) for name, config, weights in args.trained}
    kinds: dict[str, Sequence[str]] = {}
    sizes: dict[str, int] = {}
    for name, (config, weights) in trained.items():
        folder = args.work / 'files' / name.replace(' ', '_') / 'onnxruntime'
        kinds[f'{name}, PyTorch'] = (config, weights)
        for what, file in (('ONNX Runtime', 'x.onnx'), ('ONNX Runtime, int8', 'x.int8.onnx')):
            kinds[f'{name}, {what}'] = (str(folder / file),)
            sizes[f'{name}, {what}'] = (folder / file).stat().st_size
        sizes[f'{name}, PyTorch'] = weight_bytes(weights)
    found = timed(kinds, photos_of(TIMED_PHOTOS), args.rounds)
    for name, size in sizes.items():
        found[name]['bytes'] = size
    about = {'date': str(datetime.date.today()), 'rounds': args.rounds}
    keep(args.work, 'speed', {**about, 'rows': found})
    print(json.dumps(found, indent=1))


def weight_bytes(weights: str) -> int:
    """Of a checkpoint, the weights alone."""
    from mmdet_lcp.plain_weights import read_weights

    values = read_weights(weights)[0].values()
    return sum(value.numel() * value.element_size() for value in values)


FIRST_BOX = {
    'mmdet': 'import mmdet_lcp\nfrom mmdet.apis import inference_detector, init_detector\n'
    "model = init_detector({config!r}, {weights!r}, device='cpu')\n"
    'assert len(inference_detector(model, {photo!r}).pred_instances)',
    'runtime': 'from mmdet_lcp_runtime import Detector\nassert len(Detector({file!r})({photo!r}))',
}


def started(python: str, code: str, alone: bool) -> tuple[float, float]:
    """(process, clock) seconds from the start of an interpreter to the end of some code."""
    env = {key: value for key, value in os.environ.items() if not alone or key != 'PYTHONPATH'}
    env['OMP_WAIT_POLICY'] = 'passive'
    begin = time.perf_counter()
    child = subprocess.Popen([python, '-c', code], env=env, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    clock = time.perf_counter() - begin
    child.returncode = status
    if status:
        sys.exit(f'error: this ended with {status}:\n{code}')
    return used.ru_utime + used.ru_stime, clock


def start(args: argparse.Namespace) -> None:
    """Time processes to their first box; `agree` has to have written the files."""
    (name, config, weights) = args.trained[-1]
    folder = args.work / 'files' / name.replace(' ', '_') / 'onnxruntime'
    names = {
        'config': config, 'weights': weights, 'photo': str(Path(photos_of(1)[0]).resolve()),
        'file': str((folder / 'x.onnx').resolve()),
    }  # fmt: skip
    seconds: dict[str, list] = {key: [] for key in FIRST_BOX}
    for _ in range(STARTS):
        for key, code in FIRST_BOX.items():
            python = args.alone if key == 'runtime' else sys.executable
            seconds[key].append(started(python, code.format(**names), key == 'runtime'))
    found: dict[str, Any] = {
        key: dict(zip(('cpu_s', 'clock_s'), np.array(own).min(0).tolist(), strict=True))
        for key, own in seconds.items()
    }
    keep(args.work, 'start', {'detector': name, 'runs': STARTS, **found})
    print(json.dumps(found))


# ---------------------------------------------------------------------------- the page


def processor() -> str:
    """Its name, what it has for eight bits, and how many cores of it there are."""
    from mmdet_lcp.export.cpu import integer_instructions

    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next((line.partition(': ')[2] for line in lines if line.startswith('model name')), '?')
    return f'{name} {integer_instructions()}, {os.cpu_count()} cores'


def cell_text(cell: dict[str, Any] | None, dense: float | None) -> str:
    """What one engine did with one detector."""
    if cell is None:
        return 'not run'
    if 'refused' in cell:
        return f'no: {cell["refused"][:160]}'
    text = f'{cell["box"]:.0e} / {cell["score"]:.0e}'
    alone = [f'{cell[key]} {key}' for key in ('ties', 'others') if cell[key]]
    text += f' ({", ".join(alone)} beside {cell["pairs"]})' if alone else ''
    if dense is not None and cell.get('map') is not None:
        text += f'; mAP {_change(cell["map"], dense)}'
        if cell.get('int8_map') is not None:
            text += f', int8 {_change(cell["int8_map"], dense)}'
    return text


def _change(value: float, dense: float) -> str:
    return f'{value - dense:+.4f}'.replace('-0.0000', '+0.0000')


def agree_table(found: dict[str, Any]) -> str:
    """In Markdown, with what it was run on."""
    engines = [key for key in ENGINES if any(key in row['engines'] for row in found.values())]
    cells = [cell for row in found.values() for cell in row['engines'].values()]
    versions = {
        key: next(
            row['engines'][key]['version'] for row in found.values() if key in row['engines']
        )
        for key in engines
    }
    lines = [
        '| | ' + ' | '.join(f'{ENGINES[key][0]} {versions[key]}' for key in engines) + ' |',
        '|' + ' :-- |' * (len(engines) + 1),
    ]
    for name, row in sorted(found.items(), key=lambda item: (item[0] in RANDOM, item[0])):
        dense = row.get('map')
        title = name + (f', mAP {dense:.4f}' if dense is not None else ', random weights')
        texts = [cell_text(row['engines'].get(key), dense) for key in engines]
        lines.append(f'| {title} | ' + ' | '.join(texts) + ' |')
    photos = sorted({cell['photos'] for cell in cells if 'photos' in cell})
    dates = sorted({cell['date'] for cell in cells})
    lines += ['', f'{_span(photos)} photos, {_span(dates)}, {processor()}.']
    return '\n'.join(lines)


def _span(values: list) -> str:
    return str(values[0]) if len(values) == 1 else f'{values[0]} to {values[-1]}'


def speed_table(found: dict[str, Any]) -> str:
    """In Markdown."""
    lines = [
        '| | CPU ms, 1 thread | clock ms | CPU ms, 2 threads | clock ms | peak MB | size, MB |',
        '| :-- | --: | --: | --: | --: | --: | --: |',
    ]
    for name, row in found['rows'].items():
        times = [row[threads][key] for threads in ('1', '2') for key in ('cpu_ms', 'clock_ms')]
        numbers = [*(f'{each:.1f}' for each in times), f'{row["peak_mb"]:.0f}']
        lines.append(f'| {name} | ' + ' | '.join([*numbers, f'{row["bytes"] / 1e6:.2f}']) + ' |')
    how = f'Mean of {TIMED_PHOTOS} photos, of each the least of {found["rounds"]} runs'
    return '\n'.join([*lines, '', f'{how}; {found["date"]}, {processor()}.'])


def start_text(found: dict[str, Any]) -> str:
    """A sentence."""
    one, other = found['mmdet'], found['runtime']
    return (
        f'From the start of Python to the first box ({found["detector"]}, least of '
        f'{found["runs"]}): {other["clock_s"]:.2f} s with the runtime alone, '
        f'{one["clock_s"]:.1f} s with `init_detector`, {one["clock_s"] / other["clock_s"]:.0f} '
        f'times as long; of the processor {other["cpu_s"]:.2f} s and {one["cpu_s"]:.1f} s, '
        f'{one["cpu_s"] / other["cpu_s"]:.0f} times.'
    )


TABLES = {'agree': agree_table, 'speed': speed_table, 'start': start_text}


def page(args: argparse.Namespace) -> None:
    """Write what was measured into the page."""
    text = args.out.read_text()
    for name, write in TABLES.items():
        found = read(args.work, name)
        if not found:
            continue
        begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
        before, rest = text.split(begin)
        text = f'{before}{begin}\n{write(found)}\n{end}{rest.split(end)[1]}'
    args.out.write_text(text)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=('agree', 'speed', 'start', 'page'))
    parser.add_argument('--work', type=Path, required=True, help='where results are kept')
    parser.add_argument(
        '--trained', nargs=3, action='append', default=[], metavar=('NAME', 'CONFIG', 'CHECKPOINT')
    )
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=['onnxruntime'])
    parser.add_argument('--only', nargs='+', metavar='NAME', help='of the detectors')
    parser.add_argument('--photos', type=int, default=50)
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--alone', metavar='PYTHON', help='with nothing but the runtime package')
    parser.add_argument('--out', type=Path, help='the page')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    args = parse_args(argv)
    {'agree': agree, 'speed': speed, 'start': start, 'page': page}[args.what](args)


if __name__ == '__main__':
    main()
