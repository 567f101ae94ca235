"""A detector as an ONNX file: how large it is, and whether ONNX Runtime computes the same.

Near-equal scores come in one order here and in another there, and what reads the best of them
goes its own way from then on (the queries of DINO). So where the outputs differ, PyTorch computes
once more with the choices that ONNX Runtime has made, if these are as good as its own.
"""

import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdet_lcp.export.writer import opset_for
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.modes import evaluated

ALIKE = 1e-3  # in float32, through kernels of other makers
Difference = Callable[[Sequence[Tensor], Sequence[Tensor]], float]


class OtherChoicesError(ValueError):
    """Choices that are not as good as PyTorch's own."""


def export(
    detector: nn.Module, images: Tensor, difference: Difference
) -> tuple[int, float | None, bool]:
    """Write a detector without its post-processing as ONNX, and run it.

    Args:
        detector: in any mode; two-stage detectors run on regions of `tensor_forward`.
        images: (1, C, H, W).
        difference: of outputs and the ones that are expected.

    Returns:
        Bytes of the file; how its outputs differ, ``None`` without ONNX Runtime; and whether
        PyTorch had to take its choices for that.
    """
    network, buffer = evaluated(_Plain(detector)), io.BytesIO()
    opset = opset_for(network, None)
    with torch.no_grad():
        torch.onnx.export(network, (images,), buffer, dynamo=False, opset_version=opset)
    data = buffer.getvalue()
    if importlib.util.find_spec('onnxruntime') is None:
        return len(data), None, False
    with torch.no_grad():
        expected = network(images)
    found, choices = _run(data, images)
    differs = difference(found, expected)
    if differs <= ALIKE or not choices:
        return len(data), differs, False
    with torch.no_grad(), GivenChoices(choices) as given:
        expected = network(images)
    given.check_all_taken()
    return len(data), difference(found, expected), True


def _run(data: bytes, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of ONNX Runtime, and the indices that each TopK has given, in order."""
    import onnx
    import onnxruntime

    model = onnx.load_from_string(data)
    count = len(model.graph.output)
    names = [node.output[1] for node in model.graph.node if node.op_type == 'TopK']
    for name in names:
        info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
        model.graph.output.append(info)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    outputs = [torch.from_numpy(value) for value in found]
    return outputs[:count], outputs[count:]


class GivenChoices(TorchDispatchMode):
    """While open, `topk` and `sort` give these indices, one after the other.

    Args:
        indices: of each of their calls.

    Raises:
        OtherChoicesError: what lies there is not as good as what they would have chosen.
    """

    def __init__(self, indices: Sequence[Tensor]) -> None:
        super().__init__()
        self._left = list(indices)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in here."""
        return False

    def check_all_taken(self) -> None:
        """See that there were as many calls as indices.

        Raises:
            OtherChoicesError: there were fewer.
        """
        if self._left:
            raise OtherChoicesError('the file chooses more often than the detector')

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, or take a choice."""
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket not in (torch.ops.aten.topk, torch.ops.aten.sort):
            return out
        values, indices = out
        if not self._left or self._left[0].shape != indices.shape:
            raise OtherChoicesError('the file chooses otherwise than the detector')
        given = self._left.pop(0)
        position = 2 if func.overloadpacket is torch.ops.aten.topk else 1
        dim = args[position] if len(args) > position else (kwargs or {}).get('dim', -1)
        chosen = args[0].gather(dim, given)
        if not torch.allclose(chosen, values, rtol=ALIKE, atol=ALIKE * float(values.abs().max())):
            raise OtherChoicesError('the file chooses worse than the detector')
        return type(out)((chosen, given)) if hasattr(out, '_fields') else (chosen, given)


class _Plain(nn.Module):
    """One tensor in, a tuple of tensors out."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = tree_leaves(tensor_forward(self.detector, images))
        return tuple(leaf for leaf in outputs if isinstance(leaf, Tensor))
