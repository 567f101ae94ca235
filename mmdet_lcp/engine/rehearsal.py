"""What a run hands out at its end, written and opened once before it begins.

Hours of training must not end with a config that nobody can open: another package's detector that
is not found, a type without a name, weights that do not fit.
"""

import copy
import tempfile
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.plain_weights import write_weights
from mmdet_lcp.seeds import seeded


def rehearse(config: Config, detector: nn.Module) -> None:
    """Write a config and weights, read them back, build the detector and load it; all is removed.

    Random numbers go on afterwards as if nothing had been built.

    Args:
        config: as the run would hand it out.
        detector: of the architecture that the config describes.

    Raises:
        CompressionError: a step fails; says which, and what the reason is.
    """
    on_main(lambda: _rehearse(config, detector))


def _rehearse(config: Config, detector: nn.Module) -> None:
    with tempfile.TemporaryDirectory() as folder, seeded(0):
        path, weights = Path(folder, 'config.py'), Path(folder, 'weights.pth')
        step = 'written and read back'
        try:
            path.write_text(config.pretty_text, encoding='utf-8')
            read = Config.fromfile(path)
            step = 'built'
            built = MODELS.build(copy.deepcopy(read.model))
            step = 'loaded'
            write_weights(weights, detector.state_dict(), {})
            load_detector(built, weights)
        except Exception as error:  # a detector of anybody's: it fails wherever it likes
            kind = '' if isinstance(error, CompressionError) else f'{type(error).__name__}: '
            raise CompressionError(
                f'the detector that this run would hand out at its end could not be {step} from '
                f'its config and weights, so nothing has been begun. {kind}{error}'
            ) from error
