"""Where modules of release 0.1 have gone: an old import path is an error that names the new one.

To be deleted with the release after 0.2.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# (old package, new package): modules that kept their names.
_SAME_NAME = {
    ('analysis', 'report'): (
        'chain_report figures pictures report report_pages sensitivity '
        'sensitivity_picture share_picture steps_picture tables'
    ),
    ('analysis', 'comparison.results'): 'comparison removal_amount run_table',
    ('analysis', 'measure'): 'cost latency_table metrics',
    ('attachments', 'auxiliary'): (
        'attached_detector base contextual_roi_align discrimination_auxiliary '
        'localization_auxiliary object_classifier'
    ),
    ('attachments', 'detectors'): (
        'background_loss default_boxes object_classes point_targets prior_boxes '
        'proposal_boxes recorded_calls region_levels roi_samples taps'
    ),
    ('attachments', 'distillation'): (
        'feature_mimic mimic_bridges mimic_cache mimic_detector mimic_inputs '
        'mimic_outputs mimic_regions mimic_teacher'
    ),
    ('criteria', 'pruning.criteria'): (
        'backward_elimination base bn_scale dcp filter_norm fpgm group_fisher lcp '
        'random_channels ranking taylor thinet thinet_samples'
    ),
    ('criteria', 'config'): 'checks',
    ('criteria', 'pruning.problem'): (
        'consumers descent gradients layer parts problem second_moments selection_batch upstream'
    ),
    ('criteria', 'selection'): 'images positions',
    ('criteria', 'least_squares'): 'moments',
    ('runner', 'engine'): (
        'checkpoint finish image_size pace phase_config phase_loop phased_runner '
        'plain_checkpoints preflight ranks resuming schedules staged_runner state'
    ),
    ('runner', 'pruning'): 'config delivery frozen_layers removal sensitivity stages',
    ('runner', 'config'): 'keys',
    ('runner', 'pruning.problem'): 'loss_sensitivity selection_set',
    ('runner.mimic', 'distillation'): (
        'config fitted_start load_teacher pipeline setup teacher_count'
    ),
    ('runner', 'selection'): 'norm_statistics proposals',
    ('runner.targets', 'pruning.targets'): (
        'allocation by_sensitivity cost_model latency_model planner removal_costs target'
    ),
    ('runner.weight_compression', 'weight_compression'): (
        'binary_networks blocks blockwise by_layer config connection_pruning finish '
        'full_precision layers low_bit_weights penalty pruning_round stage training '
        'weight_sharing'
    ),
    ('structure', 'graph'): (
        'balance blocks finding following_norms forward groups labels operations '
        'plan regions run_order stage surgery ties tracing verification'
    ),
    ('support', 'coverage'): 'criteria detectors page synthetic trial',
    ('updates', 'pruning.updates'): 'base channel_scale exact none sgd',
}
_RENAMED = {
    'analysis.comparison_csv': 'comparison.results.csv_table',
    'analysis.comparison_merge': 'comparison.results.merge',
    'analysis.comparison_pictures': 'comparison.results.pictures',
    'analysis.comparison_summary': 'comparison.results.summary',
    'analysis.comparison_tables': 'comparison.results.tables',
    'attachments.auxiliary': 'auxiliary.network',
    'criteria.least_squares': 'least_squares.fit',
    'runner.chain': 'chain.runner',
    'runner.chain_links': 'chain.links',
    'runner.config_file': 'config.file',
    'runner.config_text': 'config.text',
    'runner.mimic.mimic_runner': 'distillation.runner',
    'runner.pruning_finish': 'pruning.finish',
    'runner.pruning_runner': 'pruning.runner',
    'runner.weight_compression.weight_compression_runner': 'weight_compression.runner',
    'structure.layer_rules': 'graph.layer_kinds',
}
# (old package, new module): what could be taken from the package itself.
_EXPORTED = {
    ('analysis', 'report.facts'): ('DetectorFacts GroupFacts SkippedLayer StepFacts TargetFacts'),
    ('analysis', 'report.report'): ('Report read_report'),
    ('analysis', 'measure.cost'): ('backbone_macs detector_cost module_macs'),
    ('analysis', 'measure.latency'): ('latency_ms'),
    ('analysis', 'measure.one_image'): ('evaluating'),
    ('analysis', 'report.pictures'): ('detections_side_by_side'),
    ('analysis', 'measure.hardware'): ('hardware versions'),
    ('analysis', 'measure.metrics'): ('main_metric'),
    ('analysis', 'report.tables'): ('markdown_table text_table'),
    ('analysis', 'report.report_pages'): ('summary_text write_report'),
    ('attachments', 'auxiliary.attached_detector'): ('AttachedDetector Attachment'),
    ('attachments', 'auxiliary.network'): ('AuxiliaryNetwork spatial_scale'),
    ('attachments', 'auxiliary.contextual_roi_align'): ('ContextualRoIAlign enclosing_boxes'),
    ('attachments', 'detectors.default_boxes'): ('DefaultBoxSampler'),
    ('attachments', 'auxiliary.discrimination_auxiliary'): ('DiscriminationAuxiliary'),
    ('attachments', 'distillation.feature_mimic'): ('FeatureMimic'),
    ('attachments', 'auxiliary.object_classifier'): ('LayerClassifier ObjectClassifier'),
    ('attachments', 'auxiliary.localization_auxiliary'): ('LocalizationAuxiliary'),
    ('attachments', 'distillation.mimic_detector'): ('MimicDetector'),
    ('attachments', 'detectors.point_targets'): ('PointTargetSampler'),
    ('attachments', 'detectors.prior_boxes'): ('PriorBoxSampler'),
    ('attachments', 'detectors.proposal_boxes'): ('ProposalSampler'),
    ('attachments', 'detectors.roi_samples'): ('RoISamples'),
    ('attachments', 'auxiliary.base'): ('StageAttachment'),
    ('attachments', 'detectors.taps'): ('Taps forward_until run_until runs_until'),
    ('attachments', 'distillation.mimic_teacher'): ('Teacher'),
    ('criteria', 'pruning.criteria'): (
        'DCP FPGM LCP BNScale BackwardElimination Criterion GroupFisher L1Norm L2Norm '
        'RandomChannels RankingCriterion Selection Taylor ThiNet largest sum_by_channel'
    ),
    ('criteria', 'pruning.problem'): ('Objective SelectionBatch SelectionProblem'),
    ('runner', ''): (
        'ChainRunner MimicRunner PruningRunner SensitivityRunner WeightCompressionRunner'
    ),
    ('runner', 'pruning.config'): ('PruningConfig'),
    ('structure', 'graph'): ('ChannelGroup Kept Member axis_sizes'),
    ('structure', 'graph.plan'): ('Plan'),
    ('structure', 'graph.surgery'): ('apply_plan mask_plan'),
    ('structure', 'graph.finding'): ('find_groups'),
    ('support', 'coverage'): ('DETECTORS SupportedDetector Trial TrialFacts support_page'),
    ('updates', 'pruning.updates'): ('ChannelScaleUpdate ExactUpdate NoUpdate SGDUpdate Update'),
    ('runner.weight_compression', 'weight_compression'): (
        'BinaryNet ConnectionPruning LowBitWeights TransformMethod TransformStage '
        'WeightSharing XNORNet'
    ),
    ('runner.weight_compression', ''): ('WeightCompressionRunner'),
}
_PACKAGES = {
    'analysis': 'measure, report and comparison.results',
    'attachments': 'auxiliary, detectors and distillation',
    'criteria': 'pruning.criteria, pruning.problem, least_squares and selection',
    'runner': 'pruning, engine, config, distillation, weight_compression, chain and selection',
    'structure': 'graph',
    'support': 'coverage',
    'updates': 'pruning.updates',
}
PACKAGE = __name__.partition('.')[0]
MOVED: dict[str, str] = {
    **{
        f'{old}.{name}': f'{new}.{name}'
        for (old, new), names in _SAME_NAME.items()
        for name in names.split()
    },
    **_RENAMED,
    **{
        f'{old}.{name}': f'{new}.{name}'.lstrip('.')
        for (old, new), names in _EXPORTED.items()
        for name in names.split()
    },
}


def _told(name: str) -> ModuleNotFoundError:
    """The error for an old path, without the package's name."""
    old = name.partition('.')[0]
    new = (
        f'it is {PACKAGE}.{MOVED[name]} now'
        if name in MOVED
        else (f'look in {PACKAGE}: {_PACKAGES[old]}')
    )
    return ModuleNotFoundError(
        f'there is no {PACKAGE}.{name} any more; {new}', name=f'{PACKAGE}.{name}'
    )


class MovedModules(MetaPathFinder, Loader):
    """Asked last, for what no other finder has found.

    An old package is found, empty, so that the module that is looked for in it can be named.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find an old package; know nothing of any other.

        Raises:
            ModuleNotFoundError: the module was in an old package; its new path is named.
        """
        package, _, name = fullname.partition('.')
        if package != PACKAGE or name.partition('.')[0] not in _PACKAGES:
            return None
        if name in MOVED or not any(old.startswith(f'{name}.') for old in MOVED):
            raise _told(name)
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Let every name that is taken from an old package be an error."""
        old = module.__name__.partition('.')[2]
        if '.' not in old:
            text = f'there is no {module.__name__} any more; look in {PACKAGE}: {_PACKAGES[old]}'
            warnings.warn(text, FutureWarning, stacklevel=2)

        def missing(name: str) -> None:
            if name.startswith('__'):
                raise AttributeError(name)
            raise _told(f'{old}.{name}')

        module.__getattr__ = missing


def moved_attribute(name: str) -> None:
    """For the package's ``__getattr__``: an old package that nobody has imported.

    Raises:
        AttributeError: there is no such attribute; of an old package, where to look.
    """
    if name in _PACKAGES:
        raise AttributeError(
            f'there is no {PACKAGE}.{name} any more; look in {PACKAGE}: {_PACKAGES[name]}'
        )
    raise AttributeError(f'module {PACKAGE!r} has no attribute {name!r}')


def tell_moved_modules() -> None:
    """Let old import paths name their successors. Idempotent."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
