"""What a detector costs and what a run did to it: counts, tables, report and pictures."""

from .cost import (
    backbone_macs,
    detector_cost,
    evaluating,
    latency_ms,
    module_macs,
    paired_latency_ms,
)
from .metrics import main_metric
from .pictures import detections_side_by_side
from .report import (
    DetectorFacts,
    GroupFacts,
    Report,
    SkippedLayer,
    StepFacts,
    TargetFacts,
    hardware,
    read_report,
    versions,
)
from .report_pages import summary_text, write_report
from .tables import markdown_table, text_table

__all__ = [
    'DetectorFacts',
    'GroupFacts',
    'Report',
    'SkippedLayer',
    'StepFacts',
    'TargetFacts',
    'backbone_macs',
    'detections_side_by_side',
    'detector_cost',
    'evaluating',
    'hardware',
    'latency_ms',
    'main_metric',
    'markdown_table',
    'module_macs',
    'paired_latency_ms',
    'read_report',
    'summary_text',
    'text_table',
    'versions',
    'write_report',
]
