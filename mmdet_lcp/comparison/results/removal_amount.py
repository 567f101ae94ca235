"""How much the runs of a comparison remove: a ratio, the config's own, or down to some MACs."""

OWN = 'config'  # the config maps layers to ratios
_MACS = 'macs'


def macs_amount(share: float) -> str:
    """What stands in the place of a ratio where a share of the MACs may remain: ``'macs0.25'``.

    Args:
        share: of the dense detector's multiply-accumulates, in (0, 1).
    """
    return f'{_MACS}{share:g}'


def amount_name(amount: float | str) -> str:
    """As it stands in the names of folders: ``'0.5'``, ``'macs0.25'``, ``'config'``."""
    return amount if isinstance(amount, str) else f'{amount:g}'


def amount_title(amount: float | str) -> str:
    """In words, for a heading."""
    if not isinstance(amount, str):
        return f'ratio {amount:g}'
    if amount.startswith(_MACS):
        share = amount.removeprefix(_MACS)
        return f'{share} of the multiply-accumulates, shared out by each method'
    return "the config's own ratios"


def amount_order(amount: float | str) -> tuple[int, float]:
    """Sorts ratios first, rising; then shares of the MACs, falling; the config's own last."""
    if not isinstance(amount, str):
        return 0, amount
    if amount.startswith(_MACS):
        return 1, -float(amount.removeprefix(_MACS))
    return 2, 0.0
