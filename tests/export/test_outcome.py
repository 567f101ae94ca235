"""What is told at the end of an export."""

from mmdet_lcp.export.outcome import Outcome


def test_files_that_belong_together_are_one(tmp_path):
    for name, size in (('x.onnx', 4000), ('x.xml', 100), ('x.bin', 2900), ('x.int8.onnx', 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    told = Outcome(weights=3800, dense=9000)
    told.add(tmp_path / 'x.onnx', 'ONNX Runtime')
    told.add(tmp_path / 'x.xml', 'openvino')
    told.add(tmp_path / 'x.int8.onnx', 'ONNX Runtime, int8')
    told.compared.append('all the same')
    told.next = 'mmdet-lcp detect'
    assert [file.size for file in told.files.values()] == [4000, 3000, 1000]
    assert told.last == tmp_path / 'x.int8.onnx'
    lines = str(told).splitlines()
    expected = 'dense, float32 9.0 kB -> pruned, float32 3.8 kB -> x.onnx 4.0 kB -> x.xml 3.0 kB'
    assert lines[6].strip() == f'{expected} -> x.int8.onnx 1.0 kB'
    assert lines[-4:] == ['compared', '  all the same', 'next', '  mmdet-lcp detect']
