"""Run the files of a layer kit on a device: NumPy and one engine are all that it needs.

  python measure.py --threads 2          # in the folder of the kit; writes times.json there
  python measure.py KIT --threads 1 --out times.json

Copy the kit to the device, run this, and bring ``times.json`` back. Every file is opened and run
in each of several rounds, so that what else the device does meets all of them; of each the least
time counts. On one thread the time is the processor's, of this process alone; on several, and
where the processor's advances in coarse ticks, it is the wall's. The files hold made-up weights:
how long a network takes does not depend on them.

This file imports nothing of the package that made the kit.
"""

import argparse
import datetime
import gzip
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MANIFEST = 'manifest.json'
TIMES = 'times.json'
VERSION = 1
# A run of a file takes the array of its input.
Run = Callable[[np.ndarray], Any]
# By runtime: the module, and the distribution that tells its version.
ENGINES = {
    'onnxruntime': ('onnxruntime', 'onnxruntime'),
    'openvino': ('openvino', 'openvino'),
    'ncnn': ('ncnn', 'ncnn'),
    'mnn': ('MNN', 'MNN'),
    'litert': ('ai_edge_litert.interpreter', 'ai-edge-litert'),
    'torch': ('torch', 'torch'),
}
# Rarely more than this many runs of a file in a round, and never fewer than two.
MOST_RUNS = 200
# Seconds that a process clock may stand still; a small layer takes about as long.
COARSEST_TICK = 1e-4


class KitError(Exception):
    """What a user can mend."""


def engine(runtime: str) -> Any:
    """The engine's module.

    Raises:
        KitError: it is unknown or not installed.
    """
    if runtime not in ENGINES:
        raise KitError(f'{runtime!r}: the runtimes are {", ".join(ENGINES)}')
    module, package = ENGINES[runtime]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise KitError(f'{runtime} is not installed: pip install {package} ({error})') from error


def engine_version(runtime: str) -> str:
    """The installed engine's version."""
    module, package = ENGINES[runtime]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # built by hand, as ONNX Runtime for a board
        return str(getattr(importlib.import_module(module), '__version__', 'of unknown version'))


def processor() -> str:
    """The processor in words that tell two of them apart: model, architecture, vector units."""
    name, flags = '', ''
    try:
        for line in Path('/proc/cpuinfo').read_text(errors='replace').splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'model name' and not name:
                name = value.strip()
            if key.strip() in ('flags', 'Features') and not flags:
                flags = f' {value.strip()} '
    except OSError:
        pass
    if not name:
        try:  # boards say here what they are
            name = Path('/proc/device-tree/model').read_text(errors='replace').strip('\0 \n')
        except OSError:
            name = platform.processor() or platform.machine()
    units = (('avx512f', 'AVX-512'), ('avx2', 'AVX2'), ('sve', 'SVE'), ('asimd', 'NEON'))
    found = [word for flag, word in units if f' {flag} ' in flags][:1]
    return f'{name} ({" ".join([platform.machine(), *found])})'


def device(runtime: str, threads: int) -> str:
    """Processor, threads, engine and its version, in words."""
    return f'{processor()}, {threads} threads, {runtime} {engine_version(runtime)}'


def opened(runtime: str, path: Path, threads: int, outputs: list[str]) -> Run:
    """What runs a file, in float32, as `mmdet_lcp_runtime` runs detectors.

    Args:
        runtime: one of `ENGINES`.
        path: the file; ncnn's weights beside it.
        threads: of the CPU, >= 1.
        outputs: their names in the file, for MNN, which does not tell them.
    """
    if runtime == 'mnn':
        return _mnn(engine(runtime), path, threads, outputs)
    return _OPEN[runtime](engine(runtime), path, threads)


def _onnxruntime(runtime: Any, path: Path, threads: int) -> Run:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})


def _openvino(openvino: Any, path: Path, threads: int) -> Run:
    options = {
        'INFERENCE_PRECISION_HINT': 'f32',
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_NUM_THREADS': threads,
    }
    model = openvino.Core().compile_model(str(path), 'CPU', options)
    return lambda image: model([image])


def _ncnn(ncnn: Any, path: Path, threads: int) -> Run:
    net = ncnn.Net()
    net.opt.num_threads = threads
    for key in ('use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic'):
        setattr(net.opt, key, False)
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix('.bin'))):
        raise KitError(f'{path.name}: ncnn cannot load it')
    (name,), outputs = net.input_names(), net.output_names()

    def run(image: np.ndarray) -> None:
        extractor = net.create_extractor()
        extractor.input(name, ncnn.Mat(image[0]))
        for output in outputs:
            failed, _ = extractor.extract(output)
            if failed:
                raise KitError(f'{path.name}: ncnn cannot compute it')

    return run


def _mnn(mnn: Any, path: Path, threads: int, outputs: list[str]) -> Run:
    settings = {'backend': 'CPU', 'precision': 'high', 'numThread': threads}
    manager = mnn.nn.create_runtime_manager((settings,))
    manager.set_hint(3, 0)  # the smallest Winograd tiles; the larger ones lose digits
    net = mnn.nn.load_module_from_file(str(path), [], outputs, runtime_manager=manager)
    if net is None:
        raise KitError(f'{path.name}: MNN cannot load it')

    def run(image: np.ndarray) -> None:
        given = mnn.expr.placeholder(list(image.shape), mnn.expr.NCHW, mnn.expr.float)
        given.write(image)
        for output in net.onForward([given]):
            output.read()  # MNN computes when it is asked

    return run


def _litert(litert: Any, path: Path, threads: int) -> Run:
    interpreter = litert.Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]['index']

    def run(image: np.ndarray) -> None:
        interpreter.set_tensor(place, image)
        interpreter.invoke()

    return run


def _torch(torch: Any, path: Path, threads: int) -> Run:
    torch.set_num_threads(threads)
    module = torch.jit.load(str(path)).eval()

    def run(image: np.ndarray) -> None:
        # as PyTorch runs modules: its graph executor would change the network on the way
        with torch.no_grad(), torch.jit.optimized_execution(False):
            module(torch.from_numpy(image))

    return run


_OPEN = {
    'onnxruntime': _onnxruntime,
    'openvino': _openvino,
    'ncnn': _ncnn,
    'litert': _litert,
    'torch': _torch,
}


def clock_for(threads: int) -> Callable[[], float]:
    """The clock that tells the time of a run: the process's on one thread, else the wall's.

    A process clock that advances in coarse ticks, as on some kernels, cannot time a layer: the
    wall's stands in for it.
    """
    if threads > 1:
        return time.perf_counter
    ticks = []
    for _ in range(3):  # an interrupt lengthens one
        begin = time.process_time()
        while (now := time.process_time()) == begin:
            pass
        ticks.append(now - begin)
    return time.process_time if min(ticks) <= COARSEST_TICK else time.perf_counter


def least_ms(run: Run, image: np.ndarray, clock: Callable[[], float], seconds: float) -> float:
    """Milliseconds of one run, the least of as many as fit into some seconds; two at least.

    A run in which the clock did not advance is not counted: a process's clock has been seen to
    stand still during a short run.

    Raises:
        KitError: the clock advanced in none of `MOST_RUNS` runs.
    """
    run(image)
    times: list[float] = []
    runs, end = 0, time.perf_counter() + seconds
    while runs < MOST_RUNS and (len(times) < 2 or time.perf_counter() < end):
        begin = clock()
        run(image)
        took = clock() - begin
        runs += 1
        if took > 0:
            times.append(took)
    if not times:
        raise KitError(f'the clock did not advance in {runs} runs of a file: measure again')
    return 1000 * min(times)


def unpacked(kit: Path, files: list[str], folder: Path) -> Path:
    """The files of an entry without their gzip; the first one is what the engine opens."""
    paths = []
    for name in files:
        if not name.endswith('.gz'):
            paths.append(kit / name)
            continue
        path = folder / name.removesuffix('.gz')
        path.write_bytes(gzip.decompress((kit / name).read_bytes()))
        paths.append(path)
    return paths[0]


def measure(
    kit: Path,
    threads: int,
    rounds: int = 3,
    seconds: float = 0.05,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The times of all files of a kit.

    Args:
        kit: the folder.
        threads: of the CPU, >= 1.
        rounds: how often each file is opened and run, >= 1.
        seconds: that a file runs for in a round.
        tell: takes lines about the progress.

    Returns:
        What ``times.json`` holds: the manifest, with ``ms`` for each entry, and on what it ran.

    Raises:
        KitError: there is no kit, it is of another version, or the engine is not installed.
    """
    try:
        manifest = json.loads((kit / MANIFEST).read_text(encoding='utf-8'))
        runtime, entries = manifest['runtime'], manifest['entries']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KitError(f'{kit}: is no layer kit ({error})') from error
    if manifest.get('version') != VERSION:
        raise KitError(
            f'{kit}: is a kit of version {manifest.get("version")}, this file reads {VERSION}'
        )
    engine(runtime)
    clock = clock_for(threads)
    images = np.random.default_rng(0)
    least: dict[str, float] = {}
    slowest: dict[str, float] = {}
    for number in range(rounds):
        for entry in entries:
            image = images.random(entry['input'], dtype=np.float32)
            with tempfile.TemporaryDirectory() as folder:
                path = unpacked(kit, entry['files'], Path(folder))
                run = opened(runtime, path, threads, entry['outputs'])
                ms = least_ms(run, image, clock, seconds)
                del run
            name = entry['name']
            least[name] = min(ms, least.get(name, ms))
            slowest[name] = max(ms, slowest.get(name, ms))
        tell(f'round {number + 1}/{rounds}: {len(entries)} files')
    apart = sorted(slowest[name] / least[name] for name in least)
    return {
        **manifest,
        'engine_version': engine_version(runtime),
        'processor': processor(),
        'threads': threads,
        'device': device(runtime, threads),
        'clock': clock.__name__,
        'rounds': rounds,
        # of the least time of a round, how far the rounds of a file lie apart
        'apart': {'median': apart[len(apart) // 2], 'most': apart[-1]} if apart else {},
        'date': datetime.date.today().isoformat(),
        'entries': [{**entry, 'ms': least[entry['name']]} for entry in entries],
    }


def main() -> int:
    """Do what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('kit', nargs='?', default=str(Path(__file__).parent), help='folder (default: this one)')
    add('--threads', type=int, default=1, help='of the CPU (default: 1)')
    add('--rounds', type=int, default=3, help='how often each file runs (default: 3)')
    add('--seconds', type=float, default=0.05, help='of a file in a round (default: 0.05)')
    add('--out', help=f'default: {TIMES} in the kit')
    args = parser.parse_args()
    if args.threads < 1 or args.rounds < 1:
        print('error: --threads and --rounds are at least 1', file=sys.stderr)
        return 1
    try:
        found = measure(Path(args.kit), args.threads, args.rounds, args.seconds, print)
        out = Path(args.out or Path(args.kit, TIMES))
        temporary = out.with_name(f'.{out.name}.part')
        temporary.write_text(json.dumps(found, indent=1), encoding='utf-8')
        os.replace(temporary, out)
    except (KitError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'written: {out}; {found["device"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
