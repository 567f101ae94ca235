"""ncnn through pnnx: decoded files that take preprocessed float32 images, one at a time.

pnnx is a program. It halves the weights unless it is told otherwise, ends with 0 on operators that
ncnn lacks, writes nine files beside its input, and forgets the names of inputs and outputs.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from torch import nn

from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.convert.ncnn_operators import for_ncnn
from mmdet_lcp.export.needs import needed

PACKAGE = 'ncnn'
NEEDS = ('ncnn', 'pnnx')
TAKES = {'form': 'decoded', 'pixels': False, 'batch': 1}
SECONDS = 1800


def check(description: dict) -> None:
    """Refuse before anything is run what cannot come out right.

    Raises:
        CompressionError: see above.
    """
    given = description['input']
    wrong = []
    if description['form'] != 'decoded':
        wrong.append('ncnn has neither NMS nor TopK')
    if given['dtype'] != 'float32' or given['layout'] != 'NCHW':
        wrong.append('ncnn takes float32 images, channels first')
    if given['batch'] != 1:
        wrong.append('ncnn takes one image at a time')
    if wrong:
        raise CompressionError(
            '; '.join(wrong) + ': export the detector decoded, preprocessed, with batch 1 '
            '(--decoded --preprocessed --batch 1), and convert that; the runtime does the rest'
        )


def write(source: Path, target: Path, description: dict, module: nn.Module | None = None) -> None:
    """Write ``target`` (``*.ncnn.param``) and its weights beside it (``*.ncnn.bin``).

    Raises:
        CompressionError: pnnx is not installed or fails, or left operators that ncnn lacks.
    """
    onnx, package = needed('onnx'), needed('pnnx', 'ncnn')
    needed('ncnn', 'ncnn')
    given = description['input']
    shape = ','.join(str(given[key]) for key in ('batch', 'channels', 'height', 'width'))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder, 'x.onnx')
        onnx.save(for_ncnn(onnx.load(str(source))), str(work))
        command = [package.EXEC_PATH, str(work), f'inputshape=[{shape}]f32', 'fp16=0']
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors='replace', timeout=SECONDS
        )
        told = done.stdout + done.stderr
        files = {suffix: work.with_suffix(f'.ncnn.{suffix}') for suffix in ('param', 'bin')}
        if done.returncode or not all(path.is_file() for path in files.values()):
            raise CompressionError(
                f'{source}: pnnx cannot convert it (exit {done.returncode}): {told[-300:].strip()}'
            )
        lacking = foreign(files['param'].read_text())
        if lacking:
            raise CompressionError(
                f'{source}: pnnx wrote operators that ncnn does not have: {", ".join(lacking)}'
            )
        shutil.move(files['param'], target)
        shutil.move(files['bin'], target.with_suffix('.bin'))


def foreign(param: str) -> list[str]:
    """Operators of a ``.param`` text that are none of ncnn's: they kept PyTorch's names.

    ncnn's layers have one word; ``Tensor.to``, ``torch.where``, ``F.grid_sample`` and the like are
    left over. Others, such as ``TopK``, only loading shows.
    """
    kinds = [line.split()[0] for line in param.splitlines()[2:] if line.strip()]
    return sorted({kind for kind in kinds if '.' in kind or '::' in kind})
