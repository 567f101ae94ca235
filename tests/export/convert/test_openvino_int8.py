"""Eight bits by NNCF: smaller, near, and the boxes' arithmetic left in float."""

import numpy as np
import pytest
from made_onnx_files import network_file

from mmdet_lcp import CompressionError
from mmdet_lcp.export.convert.openvino_int8 import _origin, write_openvino_int8
from mmdet_lcp_runtime import Detector


def test_a_network_in_eight_bits(tmp_path):
    openvino = pytest.importorskip('openvino')
    pytest.importorskip('nncf')
    source = network_file(tmp_path / 'x.onnx')
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(4)]
    found = write_openvino_int8(source, tmp_path / 'made' / 'x.xml', images)
    assert 0 < found.changed < 0.5
    assert sorted(p.name for p in (tmp_path / 'made').iterdir()) == ['x.bin', 'x.json', 'x.xml']
    model = openvino.Core().read_model(str(found.path))
    fakes = [each for each in model.get_ops() if each.get_type_name() == 'FakeQuantize']
    readers = {
        reader.get_node().get_type_name()
        for each in fakes
        for reader in each.output(0).get_target_inputs()
    }
    assert len(fakes) >= 4 and readers <= {'Convolution'}  # none is read by Multiply or Add
    detector = Detector(found.path, threads=1)
    assert detector.metadata.facts['int8']['by'] == 'nncf'
    assert len(detector(np.zeros((64, 64, 3), np.uint8))) > 0


def test_heads_that_stay_in_float_read_what_is_in_float(tmp_path):
    """The three layers before them alone read integers; fewer detections change."""
    openvino = pytest.importorskip('openvino')
    pytest.importorskip('nncf')
    source = network_file(tmp_path / 'x.onnx')
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(1, 3, 64, 64)).astype(np.float32) for _ in range(4)]
    changed = []
    for keep, layers in ((None, 5), ('heads', 3), ('/(cls|reg)/', 3)):
        found = write_openvino_int8(source, tmp_path / 'x.xml', images, keep)
        model = openvino.Core().read_model(str(found.path))
        inputs = [
            each.input_value(0).get_node().get_type_name()
            for each in model.get_ops()
            if each.get_type_name() == 'Convolution'
        ]
        assert len(inputs) == 5 and inputs.count('FakeQuantize') == layers
        changed.append(found.changed)
    assert changed[1] < changed[0]
    with pytest.raises(CompressionError, match="keep='nothing' matches none"):
        write_openvino_int8(source, tmp_path / 'y.xml', images, 'nothing')


def test_bad_input(tmp_path):
    source = network_file(tmp_path / 'x.onnx')
    with pytest.raises(CompressionError, match='at least one image'):
        write_openvino_int8(source, tmp_path / 'x.xml', [])
    with pytest.raises(CompressionError, match=r'ends in \.xml'):
        write_openvino_int8(source, tmp_path / 'x.bin', [np.zeros(1)])


@pytest.mark.parametrize(
    ('name', 'origin'),
    [
        ('/a/Conv', '/a/Conv'),
        ('/a/Conv/WithoutBiases', '/a/Conv'),
        ('/a/Convolution', None),
        ('boxes/sink_port_0', None),
    ],
)
def test_the_node_that_an_operation_comes_from(name, origin):
    assert _origin(name, {'/a/Conv'}) == origin
