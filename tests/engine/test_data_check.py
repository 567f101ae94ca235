"""All data of a run: which loaders are opened, and what stops the run."""

import logging
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

from mmdet_lcp import CompressionError
from mmdet_lcp.engine.data_check import check_data


class Images(list):
    """A data set with the classes of its `metainfo`, as those of XML files have them."""

    def __init__(self, count: int, classes: tuple[str, ...]) -> None:
        super().__init__(range(count))
        self.metainfo = dict(classes=classes)


class Runner:
    """As much of mmengine's as is asked; what cannot be built raises when it is asked for."""

    def __init__(self, train, val=None, test=None) -> None:
        self._train, self._val_loop, self._test_loop = train, val, test
        self.logger = logging.getLogger('a runner')

    @property
    def train_dataloader(self) -> DataLoader:
        return DataLoader(self._train, batch_size=2)

    @property
    def val_loop(self) -> SimpleNamespace:
        return self._loop(self._val_loop)

    @property
    def test_loop(self) -> SimpleNamespace:
        return self._loop(self._test_loop)

    @staticmethod
    def _loop(dataset: Images) -> SimpleNamespace:
        if isinstance(dataset, Exception):
            raise dataset
        return SimpleNamespace(dataloader=DataLoader(dataset), evaluator=SimpleNamespace())


CELLS = ('red', 'white')


def test_data_that_can_serve():
    check_data(Runner(Images(4, CELLS), Images(2, CELLS), Images(2, CELLS)), trained=CELLS)
    check_data(Runner(Images(4, CELLS)))  # neither validation nor test data


@pytest.mark.parametrize('place', ['val', 'test'])
def test_the_loader_without_a_batch_is_named(place):
    sets = {'val': Images(2, CELLS), 'test': Images(2, CELLS), place: Images(0, CELLS)}
    with pytest.raises(CompressionError, match=f'{place}_dataloader yields no batch'):
        check_data(Runner(Images(4, CELLS), **sets))
    with pytest.raises(CompressionError, match='train_dataloader yields no batch'):
        check_data(Runner(Images(0, CELLS)))


def test_a_file_that_is_not_there_is_told_with_its_key():
    with pytest.raises(CompressionError, match=r'val_dataloader.*No such file'):
        check_data(Runner(Images(4, CELLS), FileNotFoundError(2, 'No such file', 'a.json')))


def test_classes_in_another_order():
    other = Images(2, CELLS[::-1])
    with pytest.raises(CompressionError, match=r'test_dataloader.*judged as another'):
        check_data(Runner(Images(4, CELLS), test=other))
    with pytest.raises(CompressionError, match='would be swapped'):
        check_data(Runner(Images(4, CELLS)), trained=CELLS[::-1])
