"""The config's `pruning.objective`: which terms the loss L has, and how much each weighs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from mmdet_lcp.config.checks import check_not_negative
from mmdet_lcp.config.keys import build
from mmdet_lcp.errors import CompressionError
from mmdet_lcp.pruning.problem.reconstruction import Reconstruction
from mmdet_lcp.registry import LOSS_TERMS
from mmdet_lcp.selection.loss_term import LossTerm

KEY = 'pruning.objective'


@dataclass
class Objective:
    """Weights of the terms of L.

    Attributes:
        reconstruction: w, factor of L_re, >= 0 (the paper has 1; 0 leaves the term out).
        alpha: factor of L_a, >= 0. "A constant" in the paper; 1.0 is our reading, DCP's lambda.
        terms: further terms (`LOSS_TERMS`), each with a weight of its own.
    """

    reconstruction: float = 1.0
    alpha: float = 1.0
    terms: Sequence[LossTerm] = ()

    def __post_init__(self) -> None:
        for key in ('reconstruction', 'alpha'):
            check_not_negative(f'{KEY}.{key}', getattr(self, key))
        if not isinstance(self.terms, (list, tuple)):
            raise CompressionError(f'{KEY}.terms={self.terms!r} must be a list of dicts')
        self.terms = tuple(
            term if isinstance(term, LossTerm) else build(LOSS_TERMS, term, f'{KEY}.terms[{i}]')
            for i, term in enumerate(self.terms)
        )
        if self.reconstruction == 0 and self.alpha == 0 and not self.terms:
            raise CompressionError(
                f'{KEY}: reconstruction and alpha are both 0, nothing is left to score'
            )

    def all_terms(self, attached: Sequence[LossTerm] = ()) -> list[LossTerm]:
        """The terms of L, in the order in which they are added up.

        Args:
            attached: those of what trains along, which alpha multiplies.
        """
        return [
            Reconstruction(self.reconstruction),
            *(term.scaled(self.alpha) for term in attached),
            *self.terms,
        ]

    def alone(self) -> 'Objective':
        """Of a detector along which nothing trains: L_re, in any case, and further terms."""
        return dataclasses.replace(self, reconstruction=self.reconstruction or 1.0, alpha=0.0)
