"""The package's registries: children of mmengine's, and its own.

`locations` is where mmengine imports from when a config names something of a registry.
"""

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import Registry

SCOPE = 'mmdet_lcp'
_PACKAGE = dict(scope=SCOPE, locations=['mmdet_lcp'])

HOOKS = Registry('hook', parent=MMENGINE_HOOKS, **_PACKAGE)
MODELS = Registry('model', parent=MMENGINE_MODELS, **_PACKAGE)
OPTIM_WRAPPERS = Registry('optim wrapper', parent=MMENGINE_OPTIM_WRAPPERS, **_PACKAGE)
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, **_PACKAGE)

CRITERIA = Registry('criterion', **_PACKAGE)
UPDATES = Registry('update', **_PACKAGE)
ATTACHMENTS = Registry('attachment', **_PACKAGE)
LOSS_TERMS = Registry('loss term', **_PACKAGE)
TRANSFORMS = Registry('transform', **_PACKAGE)
METHODS = Registry('weight compression method', **_PACKAGE)
LAYER_KINDS = Registry('layer kind', **_PACKAGE)
