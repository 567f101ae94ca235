"""The list of families against mmdet's own folders."""

from pathlib import Path

import mmdet
import pytest

from mmdet_lcp.coverage.detectors import DETECTORS
from mmdet_lcp.coverage.zoo import LEFT_OUT, ZOO

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'


@pytest.fixture(scope='module')
def folders() -> set[str]:
    found = {path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != '_base_'}
    if len(found) != 115:
        pytest.skip('another release of mmdet than 3.3 has other families')
    return found


def test_each_family_has_a_row_or_a_reason(folders):
    assert set(ZOO) | set(LEFT_OUT) == folders
    assert not set(ZOO) & set(LEFT_OUT)
    assert len(ZOO) >= 74


def test_the_configs_are_there(folders):
    for family, detector in ZOO.items():
        package, _, path = detector.config.partition('::')
        assert package == 'mmdet' and path.startswith(f'{family}/')
        assert (CONFIGS / path).is_file(), path


def test_no_two_detectors_share_a_file():
    """The zoo's and those that are tried with every criterion."""
    every = {*ZOO.values(), *DETECTORS}
    assert len({detector.key for detector in every}) == len(every)
    assert len({detector.name for detector in every}) == len(every)
