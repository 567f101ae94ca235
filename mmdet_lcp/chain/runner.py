"""ChainRunner: one runner after the other, each on the detector that the one before handed out.

Pruning channels, sharing weights and coding them go after different redundancy, so they are run
one behind the other: a chain says in one config which ones, and in which order.
"""

import copy
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger, print_log
from mmengine.registry import init_default_scope
from torch import nn

from mmdet_lcp.chain.links import KEY, KINDS, Link, named, read_chain
from mmdet_lcp.codec import init_packed_detector
from mmdet_lcp.config.fingerprint import (
    WAY,
    accepted_changes,
    changes,
    fingerprint,
    listed,
    not_accepted,
)
from mmdet_lcp.config.keys import meant
from mmdet_lcp.config.names import named_config
from mmdet_lcp.config.top_level import OF_RUNNERS, check_top_level
from mmdet_lcp.config.unknown_types import types_told
from mmdet_lcp.engine.checkpoint import load_detector
from mmdet_lcp.engine.lock import rank_alone_in
from mmdet_lcp.engine.ranks import on_main
from mmdet_lcp.engine.training_check import check_precision
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.files import read_json, write_json
from mmdet_lcp.modes import evaluated
from mmdet_lcp.registry import RUNNERS, SCOPE
from mmdet_lcp.report.chain_page import write_chain_page
from mmdet_lcp.report.chain_report import (
    CHAIN_STATE_JSON,
    ChainReport,
    LinkFacts,
    chain_text,
    write_chain_report,
)
from mmdet_lcp.report.facts import DetectorFacts
from mmdet_lcp.report.report import REPORT_JSON, read_report
from mmdet_lcp.weight_compression.config import WeightCompressionConfig

STATE = CHAIN_STATE_JSON


@RUNNERS.register_module()
class ChainRunner:
    """Runs the runners of the config's `chain` key, one behind the other.

    ``runner_type='mmdet_lcp.ChainRunner'``, ``chain=['mmdet_lcp.PruningRunner',
    'mmdet_lcp.WeightCompressionRunner']``: each link reads its own key (`pruning`,
    `weight_compression`, `mimic`) and everything else of the config, works in a folder of its own
    below ``work_dir`` (``1_pruning``, ``2_weight_compression``), and begins with the detector that
    the link before handed out, the first one with ``load_from``.

    In place of a name there may be ``dict(type=..., key=..., cfg=...)``: `key` names another key
    of the config that is read instead of the runner's own, so that one runner may come twice;
    `cfg` changes the config for this link alone (``dict(train_cfg=dict(max_epochs=10))``).

    Killed at any moment, a chain goes on with ``resume=True``: links that have ended are not run
    again. At the end it writes ``chain_report.json``, ``chain_report.md`` and
    ``report.html``.

    Args:
        cfg: the whole config.

    Raises:
        CompressionError: something in the config of any link has to be mended first.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg = named_config(cfg)
        self.links = read_chain(cfg)
        if not cfg.get('work_dir'):
            raise CompressionError('the config has no `work_dir`: name the folder of the chain')
        self.work_dir = Path(cfg.work_dir)
        init_default_scope(cfg.get('default_scope') or 'mmdet')  # detectors are built here too
        self._check_links()

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'ChainRunner':
        """As mmengine builds runners."""
        return cls(cfg)

    def train(self) -> nn.Module:
        """Run what has not been run; returns the detector that the last link hands out."""
        with rank_alone_in(self.work_dir), types_told():
            return self._train()

    def _train(self) -> nn.Module:
        report = on_main(self._read_state)
        done = len(report['ended'])
        for link in self.links[done + 1 :]:  # the next one finds out by itself
            self._try_out(link)
        for link in self.links[done:]:
            facts = self._run(link, report['links'])
            report['links'] += facts
            report['ended'].append(self._fingerprint(link))
            on_main(lambda: write_json(self.work_dir / STATE, report))
        chain = ChainReport.from_dict(report)
        on_main(lambda: self._write_report(chain))
        logger = 'current' if done < len(self.links) else MMLogger.get_instance('mmdet_lcp')
        print_log(f'\n{chain_text(chain)}\nFiles: {self.folder(self.links[-1])}', logger)
        return self._open(self.links[-1])

    def _write_report(self, chain: ChainReport) -> None:
        write_chain_report(chain, self.work_dir)
        write_chain_page(self.work_dir)

    def folder(self, link: Link) -> Path:
        """Where a link works."""
        return self.work_dir / link.name

    def link_config(self, link: Link) -> Config:
        """The config that a link's runner is built from.

        Args:
            link: the links before it have ended, unless it is only read and not run.
        """
        plain: dict[str, Any] = copy.deepcopy(self.cfg.to_dict())
        own = plain.get(link.key)
        for key in (KEY, *self._keys()):
            plain.pop(key, None)
        if own is not None:
            plain[link.kind.key] = own
        cfg = Config(plain, filename=self.cfg.filename)
        cfg.runner_type = f'{SCOPE}.{link.kind.runner.__name__}'
        cfg.work_dir = str(self.folder(link))
        # mmengine keeps loggers and visualizers by name, for the life of the process.
        cfg.experiment_name = f'{self.work_dir.resolve()}/{link.name}'.replace('/', '_')
        if cfg.get('visualizer'):
            cfg.visualizer.name = cfg.experiment_name
        if link.number > 1:
            before = self.links[link.number - 2]
            handed_out = self.folder(before) / before.kind.config
            if handed_out.exists():
                cfg.model = Config.fromfile(handed_out).model
            cfg.load_from = str(self.folder(before) / before.kind.weights)
        cfg.merge_from_dict(copy.deepcopy(link.changes))
        return cfg

    def _keys(self) -> list[str]:
        """Every key of the config that some link reads."""
        return [*(kind.key for kind in KINDS.values()), *(link.key for link in self.links)]

    def _check_links(self) -> None:
        """See that every link would begin, hours before it does.

        Raises:
            CompressionError: one would not.
        """
        read = [link.key for link in self.links]
        for key in check_top_level(self.cfg, (*OF_RUNNERS, *read)):
            print_log(f'Key of the config that nothing reads: {key}', 'current', logging.WARNING)
        for name, kind in KINDS.items():
            if kind.key in self.cfg and kind.key not in read:
                raise CompressionError(
                    f'the config has a `{kind.key}` key, which no link of `{KEY}` reads: add '
                    f"'{SCOPE}.{name}' to the chain, or take the key out"
                )
        for link in self.links:
            if link.key not in self.cfg:
                raise CompressionError(
                    f'{KEY}[{link.number - 1}] needs the key `{link.key}` in the config, which '
                    f'is not there.{meant(self.cfg, link.key)}'
                )
            cfg = self.link_config(link)
            with named(link):
                config = link.kind.check(cfg)
                check_top_level(cfg, (link.kind.key,))
                check_precision(cfg.get('optim_wrapper'))
            if isinstance(config, WeightCompressionConfig):
                detector = MODELS.build(copy.deepcopy(cfg.model))  # pruning keeps the paths
                for name, method in config.methods.items():
                    method.stages(detector, f'{link.key}.methods.{name}')

    def _try_out(self, link: Link) -> None:
        """Build a link's runner and all that it needs, on the detector that there is so far.

        Raises:
            CompressionError: it would not begin; the link is named.
        """
        cfg = self.link_config(link)
        if not Path(cfg.load_from).is_file():
            cfg.load_from = self.cfg.get('load_from')
        with tempfile.TemporaryDirectory() as folder:
            cfg.work_dir, cfg.resume = folder, False
            cfg.experiment_name += Path(folder).name  # one that is kept by name is not met again
            if cfg.get('visualizer'):
                cfg.visualizer.name = cfg.experiment_name
            try:
                with named(link), types_told():
                    RUNNERS.build(cfg).try_out()
            except CompressionError as error:
                raise CompressionError(f'link {link.number}, {link.name}: {error}') from error

    def _read_state(self) -> dict[str, Any]:
        """What is written down of the links that have ended.

        Raises:
            CompressionError: it is of another chain, or the chain was not asked to go on.
        """
        path = self.work_dir / STATE
        if not path.exists():
            return {'links': [], 'ended': []}
        if not self.cfg.get('resume'):
            raise CompressionError(
                f'{self.work_dir} holds the state of another chain. Continue it with --resume, '
                'choose another --work-dir, or delete the folder.'
            )
        try:
            known = read_json(path)
            ChainReport.from_dict(known)
            ended = [dict(digest) for digest in known['ended']]
        except (ValueError, KeyError, TypeError, CompressionError) as error:
            raise CompressionError(
                f'{path} is damaged: {error}. Delete it to go through the links again; those '
                'that have ended notice it.'
            ) from error
        for link, digest in zip(self.links, ended, strict=False):
            digest.pop('chain', None)  # of an earlier release; the link's name says which runner
            found = changes(digest, self._fingerprint(link))
            if found := not_accepted(found, accepted_changes(self.cfg)):
                raise CompressionError(
                    f'{self.work_dir} holds the state of another chain: {link.name} had another '
                    f'config:{listed(found)}Resume with the config of that chain, or choose '
                    f'another --work-dir. {WAY}'
                )
        if len(ended) > len(self.links):
            raise CompressionError(
                f'{self.work_dir} holds the state of a longer chain: {len(ended)} links have ended'
            )
        return known

    def _fingerprint(self, link: Link) -> dict[str, Any]:
        """What a link depends on."""
        # A link behind another one begins with what lies in the chain's own folder.
        without = () if link.number == 1 else ('load_from',)
        return fingerprint(self.link_config(link), without)

    def _run(self, link: Link, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run a link; returns what goes into the report: plain data of `LinkFacts`.

        Args:
            link: which one.
            before: what is in the report already.
        """
        cfg = self.link_config(link)
        cfg.resume = bool(self.cfg.get('resume'))
        runner = RUNNERS.build(cfg)
        if link.number > 1 and link.kind.compares_with_start:
            runner.before = f'after {self.links[link.number - 2].name}'
        runner.logger.info(f'Link {link.number} of {len(self.links)}: {link.name}')
        runner.train()
        report = on_main(lambda: read_report(self.folder(link) / REPORT_JSON).to_dict())
        found = [
            LinkFacts(
                link.name,
                DetectorFacts(**report['compressed']),
                link.name,
                report['method'],
                report['seconds'],
            )
        ]
        if not before and link.kind.compares_with_start:
            found.insert(0, LinkFacts(report['before'], DetectorFacts(**report['dense'])))
        return [asdict(item) for item in found]

    def _open(self, link: Link) -> nn.Module:
        """The detector that a link has handed out, as any user opens it."""
        folder, kind = self.folder(link), link.kind
        if kind.packed is not None:
            return init_packed_detector(folder / kind.packed)
        detector = MODELS.build(Config.fromfile(folder / kind.config).model)
        load_detector(detector, folder / kind.weights)
        return evaluated(detector.to(get_device()))
