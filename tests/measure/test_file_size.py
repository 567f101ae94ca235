import pytest
import torch

from mmdet_lcp.measure.file_size import weight_bytes


@pytest.mark.parametrize('meta', [None, dict(dataset_meta=dict(classes=('a',) * 100))])
def test_weight_bytes_are_those_of_a_file(tmp_path, meta):
    detector = torch.nn.Linear(100, 50)
    data = {'state_dict': detector.state_dict()}
    torch.save(data if meta is None else {'meta': meta, **data}, tmp_path / 'w.pth')
    # the archive's name inside the file may differ by a few bytes
    size = (tmp_path / 'w.pth').stat().st_size
    assert weight_bytes(detector, meta) == pytest.approx(size, abs=256)
