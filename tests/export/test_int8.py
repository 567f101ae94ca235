"""Eight-bit files against the quantisation formulas, read from what is written in the file."""

import numpy as np
import pytest

from mmdet_lcp import CompressionError
from mmdet_lcp.export import open_session, quantize_int8
from mmdet_lcp.export.int8 import METHODS

REASON = 'the extra `export` is not installed'
onnx = pytest.importorskip('onnx', reason=REASON)
pytest.importorskip('onnxruntime', reason=REASON)

HEIGHT, WIDTH = 6, 5


@pytest.fixture(scope='module')
def kernels() -> dict[str, np.ndarray]:
    """Filters of very different sizes."""
    generator = np.random.default_rng(0)
    sizes = np.array([0.1, 1, 5, 20]).reshape(4, 1, 1, 1)
    kernels = {
        'first': generator.normal(size=(4, 3, 3, 3)) * sizes,
        'second': generator.normal(size=(2, 4, 1, 1)),
    }
    return {name: kernel.astype(np.float32) for name, kernel in kernels.items()}


@pytest.fixture(scope='module')
def source(kernels, tmp_path_factory):
    """A convolution, ReLU, another convolution."""
    helper, path = onnx.helper, tmp_path_factory.mktemp('onnx') / 'source.onnx'
    nodes = [
        helper.make_node('Conv', ['images', 'first'], ['a'], name='/net/first/Conv', pads=[1] * 4),
        helper.make_node('Relu', ['a'], ['b'], name='/net/act/Relu'),
        helper.make_node('Conv', ['b', 'second'], ['output_0'], name='/net/second/Conv'),
    ]
    images, out = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['n', size, HEIGHT, WIDTH])
        for name, size in (('images', 3), ('output_0', 2))
    )
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in kernels.items()]
    graph = helper.make_graph(nodes, 'net', [images], [out], weights)
    opset = [helper.make_opsetid('', 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope='module')
def images() -> list[np.ndarray]:
    """The largest value is in the last one, the smallest in the second."""
    generator = np.random.default_rng(1)
    found = [generator.uniform(-1, 1, (n, 3, HEIGHT, WIDTH)).astype(np.float32) for n in (1, 2, 1)]
    found[1][1, 2, 3, 4], found[2][0, 0, 0, 0] = -3.0, 7.0
    return found


def written(path) -> dict[str, np.ndarray]:
    """Every constant of a file by name."""
    graph = onnx.load(str(path)).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def test_kernels_have_a_scale_for_each_filter(source, kernels, images, tmp_path):
    """The largest weight becomes 127, or -127."""
    before = source.read_bytes()
    quantize_int8(source, tmp_path / 'x.onnx', images)
    found = written(tmp_path / 'x.onnx')
    for name, kernel in kernels.items():
        scale = np.abs(kernel).max((1, 2, 3)) / 127
        np.testing.assert_allclose(found[f'{name}_scale'], scale, rtol=1e-6)
        assert (found[f'{name}_zero_point'] == 0).all()
        whole = found[f'{name}_quantized']
        assert whole.dtype == np.int8
        errors = np.abs(whole * scale[:, None, None, None] - kernel)
        assert (errors.max((1, 2, 3)) <= scale * 0.5001).all()  # rounded to the nearest
    assert not set(kernels) & set(found)  # the float kernels are gone
    assert [path.name for path in tmp_path.iterdir()] == ['x.onnx']
    assert source.read_bytes() == before


def test_ranges_are_those_of_all_images(source, images, tmp_path):
    """Of 256 steps from the smallest to the largest value; zero is one of them."""
    quantize_int8(source, tmp_path / 'x.onnx', images)
    found = written(tmp_path / 'x.onnx')
    scale = (7.0 + 3.0) / 255
    assert found['images_scale'] == pytest.approx(scale, rel=1e-6)
    zero = found['images_zero_point']
    assert zero == round(3 / scale) and zero.dtype == np.uint8
    quantize_int8(source, tmp_path / 'x.onnx', images[:1])
    low, high = min(images[0].min(), 0), max(images[0].max(), 0)
    scale = written(tmp_path / 'x.onnx')['images_scale']
    assert scale == pytest.approx((high - low) / 255, rel=1e-6)


def test_outputs_are_near_those_in_full_precision(source, images, tmp_path):
    quantize_int8(source, tmp_path / 'x.onnx', images)
    exact, near = (
        [open_session(path).run(None, {'images': image})[0] for image in images]
        for path in (source, tmp_path / 'x.onnx')
    )
    largest = max(np.abs(one).max() for one in exact)
    for one, other in zip(exact, near, strict=True):
        assert one.shape == other.shape
        assert 0 < np.abs(one - other).max() < 0.03 * largest


def test_percentiles_leave_out_what_is_rare(source, tmp_path):
    """One value of 300 000, a hundred times the others."""
    image = np.random.default_rng(2).uniform(-1, 1, (3400, 3, HEIGHT, WIDTH)).astype(np.float32)
    image[0, 0, 0, 0] = 100
    scales = {}
    for method in ('minmax', 'percentile'):
        quantize_int8(source, tmp_path / 'x.onnx', [image], method)
        scales[method] = float(written(tmp_path / 'x.onnx')['images_scale'])
    assert scales['minmax'] == pytest.approx(101 / 255, rel=1e-3)
    # from -1 to 1, but for the width of a bin of its histogram, 0.1, on each side
    assert scales['percentile'] == pytest.approx(2 / 255, rel=0.11)


def test_every_method_is_onnx_runtimes_of_that_name(source, images, tmp_path, monkeypatch):
    found = []

    def record(source, target, reader, calibrate_method, **keys):
        found.append((calibrate_method.name.lower(), len(list(reader))))
        onnx.save(onnx.load(source), target)

    monkeypatch.setattr('onnxruntime.quantization.quantize_static', record)
    for method in METHODS:
        quantize_int8(source, tmp_path / 'x.onnx', [images[0]] * 3, method)
    assert found == [('minmax', 3), ('percentile', 3)]


def test_what_is_kept_stays_in_full_precision(source, kernels, images, tmp_path):
    """Nodes are searched for, not matched from their beginning."""
    quantize_int8(source, tmp_path / 'x.onnx', images, keep='second|act')
    found = written(tmp_path / 'x.onnx')
    assert np.array_equal(found['second'], kernels['second'])
    assert 'first_quantized' in found and 'first' not in found


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(method='max'), "method='max': use one of minmax, percentile"),
        (dict(images=[]), 'int8 needs at least one image'),
        (dict(keep='third'), r"keep='third' matches none of the \d nodes, such as /net/first"),
    ],
)
def test_bad_input(source, images, tmp_path, keys, message):
    with pytest.raises(CompressionError, match=message):
        quantize_int8(source, tmp_path / 'x.onnx', **{'images': images, **keys})
    assert list(tmp_path.iterdir()) == []


def test_percentiles_of_images_of_two_shapes(source, images, tmp_path):
    """ONNX Runtime puts what it collects into one array; 'minmax' takes them all the same."""
    quantize_int8(source, tmp_path / 'x.onnx', images)
    assert float(written(tmp_path / 'x.onnx')['images_scale']) == pytest.approx(10 / 255)
    message = r"'percentile' needs images of one shape.*have 2, such as \(1, .*and \(2, .*'minmax'"
    with pytest.raises(CompressionError, match=message):
        quantize_int8(source, tmp_path / 'y.onnx', images, 'percentile')


def test_an_older_file_stays_until_the_new_one_is_there(source, images, tmp_path, monkeypatch):
    target = tmp_path / 'x.onnx'
    target.write_bytes(b'older')

    def fail(source, target, *args, **keys):
        with open(target, 'wb') as file:
            file.write(b'half')
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr('onnxruntime.quantization.quantize_static', fail)
        quantize_int8(source, target, images)
    assert target.read_bytes() == b'older' and list(tmp_path.iterdir()) == [target]
    quantize_int8(source, target, images)
    assert 'first_quantized' in written(target)
