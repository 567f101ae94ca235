"""Everything that a user does with a pruned detector, tried out on one detector.

Traced, pruned with every criterion, counted, its loss and predictions taken, saved, opened by
mmdet's `init_detector`, trained on, pruned again, exported. All kinds of groups in all layers lose
half of their channels.
"""

import importlib.util
import math
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmdet.apis import init_detector
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmdet_lcp.copies import detached_copy
from mmdet_lcp.coverage.bench import (
    Bench,
    count_params,
    halved,
    largest_difference,
    tensors,
    training_loss,
)
from mmdet_lcp.coverage.criteria import TRIED, CriterionFacts, try_criterion
from mmdet_lcp.coverage.default import default_removal
from mmdet_lcp.coverage.detectors import SupportedDetector, build
from mmdet_lcp.coverage.exported import ALIKE, OtherChoicesError, export
from mmdet_lcp.coverage.facts import TrialFacts
from mmdet_lcp.coverage.reasons import in_words
from mmdet_lcp.coverage.synthetic import synthetic_batch
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.graph import ChannelGroup, apply_plan, mask_plan
from mmdet_lcp.graph.forward import tensor_forward
from mmdet_lcp.graph.made_samples import num_classes
from mmdet_lcp.measure.cost import layer_macs
from mmdet_lcp.models.pruned_detector import pruned_model_cfg
from mmdet_lcp.modes import evaluated
from mmdet_lcp.pruning.delivery import PRUNED_CONFIG, PRUNED_WEIGHTS, deliver
from mmdet_lcp.seeds import seeded
from mmdet_lcp.selection.images import detection_loss

# What the layers are by which one asks for less than everything: the config's older default.
BACKBONE, SINGLE = re.compile(r'^backbone\.'), ('single',)
STEPS = (
    'traced', 'criteria', 'pruned', 'counted', 'checked', 'reloaded', 'trained', 'again',
    'exported', 'default',
)  # fmt: skip
# Without these the others have nothing to work on.
NEEDED = ('traced', 'pruned')
# No number of an iteration's gradient is larger: through batch norms that see two numbers each, as
# the inmost ones of an hourglass do on small images, it grows from layer to layer.
LARGEST_GRADIENT, LEARNING_RATE = 1.0, 1e-4


class Trial:
    """Tries one detector out.

    Args:
        detector: which one.
        criteria: names of `TRIED`; all unless told.
        tell: called with a line before each step.
        keep: called with what is known so far before each step, and at the end.
        steps: some of `STEPS`, in their order; all unless told.
    """

    def __init__(
        self,
        detector: SupportedDetector,
        criteria: Sequence[str] | None = None,
        tell: Callable[[str], None] = lambda line: None,
        keep: Callable[[TrialFacts], None] = lambda facts: None,
        steps: Sequence[str] = STEPS,
    ) -> None:
        self.spec = detector
        self.criteria = list(TRIED) if criteria is None else list(criteria)
        self.tell = tell
        self.keep = keep
        self.steps = steps
        self.facts = TrialFacts(detector.name, detector.config, detector.size)
        self.bench = Bench(detector, self.facts)

    def run(self) -> TrialFacts:
        """The steps; one that fails is written down, and those that need it are left out.

        The traceback of what fails goes to the standard error stream.
        """
        with (
            DefaultScope.overwrite_default_scope('mmdet'),
            tempfile.TemporaryDirectory() as folder,
        ):
            MessageHub.get_current_instance().update_info('epoch', 0)  # some heads match by it
            self.folder = Path(folder)
            for step in self.steps:
                self.tell(f'{self.spec.name}: {step}')
                self.facts.running = step
                self.keep(self.facts)
                began = time.process_time()
                try:
                    getattr(self, f'_{step}')()
                except Exception as error:  # somebody else's detector may fail in any way
                    self.facts.failures[step] = in_words(error)
                    traceback.print_exc()
                self.facts.seconds[step] = round(time.process_time() - began, 2)
                if step in NEEDED and step in self.facts.failures:
                    break
        self.facts.running = ''
        self.keep(self.facts)
        return self.facts

    # ------------------------------------------------------------------ steps

    def _traced(self) -> None:
        """Find the groups; with none to prune there is nothing to try."""
        self.cfg = self.spec.read()
        self.dense = build(self.cfg)
        if isinstance(self.dense, BaseMOTModel):
            raise CompressionError(
                f'a {type(self.dense).__name__} tracks objects through videos: name the config of '
                'the detector in it'
            )
        self.groups = self.bench.find(self.dense)
        self.open = [group for group in self.groups if group.obstacle is None]
        self.facts.groups = len(self.groups)
        self.facts.pruned = dict(Counter(' + '.join(group.kinds) for group in self.open))
        for group in self.groups:
            if group.obstacle is not None:
                self.facts.obstacles.setdefault(group.obstacle, []).append(group.name)
        self.facts.params = [count_params(self.dense)]
        if not self.open:
            raise CompressionError('none of its groups can be pruned')

    def _criteria(self) -> None:
        """Select with every criterion; where the second moments are large, on less width."""
        self.widths = [(self.dense, self.open)]
        for name in self.criteria:
            self.tell(f'{self.spec.name}: criterion {name}')
            try:
                self.facts.criteria[name] = try_criterion(name, self._width, self.spec.size)
            except Exception as error:  # those that come after it may still work
                traceback.print_exc()
                failures = {'all groups': in_words(error)}
                self.facts.criteria[name] = CriterionFacts(failures=failures)

    def _pruned(self) -> None:
        """Half of every group by L1 norm; removed channels compute what zeroed ones do."""
        self.pruned, self.plan = self.bench.prune(self.dense, self.open, 'masked')
        self.facts.params.append(count_params(self.pruned))

    def _counted(self) -> None:
        """What it saves; and what it would if only the backbone's single groups were pruned."""
        few = [g for g in self.open if g.kinds == SINGLE and BACKBONE.match(g.name)]
        narrow = apply_plan(detached_copy(self.dense), halved(self.dense, few))
        shape = (self.spec.size, self.spec.size)
        for name, detector in (
            ('dense', self.dense),
            ('backbone', narrow),
            ('all', self.pruned),
        ):
            layers = layer_macs(detector, shape, like=self.dense).values()
            self.facts.macs[name] = sum(sum(parts.values()) for parts in layers)

    def _checked(self) -> None:
        """Its loss is that of zeroed channels, selection takes the same one, and it predicts."""
        pair = mask_plan(detached_copy(self.dense), self.plan), self.pruned

        self.bench.alike('loss', *pair, lambda detector: [self.bench.loss_of(detector)])
        # Of a copy: some losses count along.
        expected = self.bench.loss_of(detached_copy(self.pruned))
        with torch.no_grad():
            found = detection_loss(self.pruned, self.bench.batch_for(self.pruned))
        self.bench.differ('selection loss', [found], [expected])
        self._predicts()

    def _predicts(self) -> None:
        images, samples = synthetic_batch(1, self.spec.size, self.pruned)
        with torch.no_grad():
            (result,) = self.pruned.predict(images, samples)
        instances = result.get('pred_instances', {})
        self.facts.predicted = len(instances)
        for name, values in instances.items():
            if isinstance(values, Tensor) and not values.isfinite().all():
                raise ValueError(f'the {name} of what is predicted are not finite')

    def _reloaded(self) -> None:
        """Save as a run does, and open with mmdet's own function."""
        self.reloaded = detached_copy(self.pruned)  # for the steps to come, if this one fails
        meta = {'dataset_meta': {'classes': [str(i) for i in range(num_classes(self.dense))]}}
        deliver(self.cfg, self.pruned, self.plan, self.folder, meta)
        opened = init_detector(
            str(self.folder / PRUNED_CONFIG),
            str(self.folder / PRUNED_WEIGHTS),
            palette='random',  # else it builds the data set, with all that this needs
            device='cpu',
        )
        if type(opened) is not type(self.dense):
            raise TypeError(f'it is opened as a {type(opened).__name__}')
        self.reloaded = opened
        self.bench.compare('reloaded', opened, self.pruned)

    def _trained(self) -> None:
        """One iteration of training on what was opened."""
        detector = self.reloaded
        detector.train()  # of some detectors it returns nothing
        batch = self.bench.batch_for(detector)
        weights = [p for p in detector.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(weights, lr=LEARNING_RATE)
        with seeded(0):
            loss = training_loss(detector, batch)
        loss.backward()
        largest = torch.nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT, norm_type=math.inf)
        if not largest.isfinite():
            raise ValueError(f'the gradient of the loss ({loss:.3g}) is not finite')
        optimizer.step()
        self.facts.loss = float(loss.detach())
        detector.eval()
        with torch.no_grad():
            outputs = tensors(tensor_forward(detector, batch.inputs))
        if not math.isfinite(self.facts.loss) or not all(o.isfinite().all() for o in outputs):
            raise ValueError(f'loss or outputs are not finite after an iteration: {loss:.3g}')

    def _again(self) -> None:
        """Prune what was pruned; the two plans together rebuild it."""
        self.reloaded.eval()  # whatever became of the training
        groups = [group for group in self.bench.find(self.reloaded) if group.obstacle is None]
        twice, later = self.bench.prune(self.reloaded, groups, 'again')
        self.facts.params.append(count_params(twice))
        model = pruned_model_cfg(ConfigDict(self.cfg.model).to_dict(), self.plan)
        rebuilt = MODELS.build(ConfigDict(pruned_model_cfg(model, later)))
        path = self.folder / 'again.pth'
        torch.save(twice.state_dict(), path)
        load_detector(rebuilt, path)
        self.bench.compare('again reloaded', evaluated(rebuilt), twice)

    def _exported(self) -> None:
        """The pruned detector without its post-processing, as ONNX; run by ONNX Runtime."""
        if importlib.util.find_spec('onnx') is None:
            self.facts.exported = 'not tested: the package onnx is not installed'
            return
        images, _ = synthetic_batch(1, self.spec.size, self.pruned)
        try:
            self.facts.exported, difference, chosen = export(
                self.pruned, images, largest_difference
            )
        except OtherChoicesError as error:
            raise ValueError(f'in ONNX Runtime {error}') from error
        except Exception as error:  # of mmdet's or torch's own code, pruned or not
            self.facts.exported = f'fails: {in_words(error)}'
            return
        if difference is None:
            return
        self.facts.chosen += ['exported'] * chosen
        self.facts.differences['exported'] = difference
        if not difference <= ALIKE:
            before = export(self.dense, images, largest_difference)[1]
            raise ValueError(
                f'in ONNX Runtime the outputs differ by {difference:.1e}; those of the detector '
                f'before pruning by {before:.1e}'
            )

    def _default(self) -> None:
        """What the package's default takes away; last, for it may take long."""
        shape = (self.spec.size, self.spec.size)
        self.facts.default, self.facts.holds = default_removal(self.dense, self.groups, shape)

    def _width(self, halvings: int) -> tuple[nn.Module, list[ChannelGroup]]:
        """See `Widths`."""
        while len(self.widths) <= halvings:
            detector, groups = self.widths[-1]
            narrow = apply_plan(detached_copy(detector), halved(detector, groups))
            found = [group for group in self.bench.find(narrow) if group.obstacle is None]
            self.widths.append((narrow, found))
        return self.widths[halvings]
