"""A module as an ONNX file: one file, of the opset that was asked for.

torch has two exporters. This one uses that of TorchScript: it is deprecated, but the newer one
(measured with torch 2.13 and onnxscript 0.7) deletes an addition of 1e-8 or less as if it were
nothing, and with it what keeps SSD's L2Norm from dividing by zero; it writes opset 18 where 11 is
asked; it puts the weights into a second file; and it takes mmdet's and mmcv's own operators only
in another form. A test holds both against the detector where all channels are zero.
"""

import inspect
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdet_lcp.compat.onnx_branches import branches_of_prediction
from mmdet_lcp.compat.onnx_deform_conv import LEAST_OPSET as DEFORM_OPSET
from mmdet_lcp.compat.onnx_log import without_graph_dump
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.export.lacking import users_of
from mmdet_lcp.export.needs import needed
from mmdet_lcp.export.onnx_file import INPUT, OPSET

OPSETS = range(16, 21)  # RoiAlign and GridSample as mmdet has them, from 16; torch writes up to 20


def opset_for(module: nn.Module, asked: int | None) -> int:
    """The opset to write.

    Args:
        module: what is exported.
        asked: by the user; None: `OPSET`, or what deformable convolutions need.

    Raises:
        CompressionError: it cannot be written, or does not have what the module needs.
    """
    deformable = [
        f'{path} ({type(each).__name__})'
        for path, each in module.named_modules()
        if type(each).__name__.startswith(('DeformConv', 'ModulatedDeformConv'))
        or type(each).__name__ in ('TOODHead', 'SAConv2d')
    ]
    opset = asked or (DEFORM_OPSET if deformable else OPSET)
    if opset not in OPSETS:
        raise CompressionError(f'opset {opset}: take one from {OPSETS[0]} to {OPSETS[-1]}')
    if deformable and opset < DEFORM_OPSET:
        raise CompressionError(
            f'opset {opset} has no deformable convolution, which {deformable[0]} needs: take '
            f'{DEFORM_OPSET} or {OPSETS[-1]}'
        )
    return opset


def write_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    outputs: list[str],
    opset: int,
    dynamic: dict[str, dict[int, str]],
    what: str,
) -> None:
    """Write a module that has been run once.

    Args:
        module: takes `example` and gives a tuple of tensors.
        example: what is traced.
        path: the file.
        outputs: their names.
        opset: of the file.
        dynamic: axes of any length, by the name of an input or output.
        what: the detector's class, for messages.

    Raises:
        CompressionError: torch cannot write it, or wrote something else.
    """
    onnx = needed('onnx')
    choose = 'dynamo' in inspect.signature(torch.onnx.export).parameters
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            branches_of_prediction(),
            without_graph_dump(),
        ):
            warnings.simplefilter('ignore')  # the tracer's, about shapes that are constant
            torch.onnx.export(
                module,
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=outputs,
                dynamic_axes=dynamic or None,
                opset_version=opset,
                **({'dynamo': False} if choose else {}),
            )
    except CompressionError:
        raise
    except Exception as error:  # the forward of somebody else's detector may fail in any way
        text = ' '.join(str(error).split())[:500]
        users = users_of(error, module, example)
        where = f' It is used by {", ".join(users[:3])}' if users else ''
        raise CompressionError(f'{what} cannot be exported: {text}.{where}') from error
    model = onnx.load(str(path), load_external_data=False)
    written = {each.domain: each.version for each in model.opset_import}
    others = sorted({node.domain for node in model.graph.node} - {'', 'ai.onnx'})
    if others:
        names = sorted(
            {f'{n.domain}::{n.op_type}' for n in model.graph.node if n.domain in others}
        )
        raise CompressionError(
            f'{what} cannot be exported: it needs {names[0]}, which is no operator of ONNX'
        )
    if written.get('') != opset:
        raise CompressionError(f'opset {opset} was asked for, torch wrote {written.get("")}')
