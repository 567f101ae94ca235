"""Fragments of ours that two bases of a config bring in together: what to inherit instead."""

from mmdet_lcp.compat.mmengine import base_files

_RUNNERS = {
    'pruning': 'PruningRunner',
    'distill': 'MimicRunner',
    'weight_compression': 'WeightCompressionRunner',
    'chain': 'ChainRunner',
}
# What a chain of these is inherited from.
_CHAINS = {
    ('pruning', 'weight_compression'): 'lcp_low_bit.py or lcp_deep_compression.py',
    ('distill', 'pruning', 'weight_compression'): 'lcp_mimic_low_bit.py',
}


def mixed_fragments(file: str, found: str) -> str:
    """What to do where mmengine finds a key in two bases of a config.

    Args:
        file: the config.
        found: mmengine's own words.
    """
    kinds = [_kind(str(base)) for base in base_files(file)]
    ours = [kind for kind in kinds if kind is not None]
    if len(ours) < 2:
        return f'{found}. Two of its `_base_` say the same key: inherit one of them'
    if 'chain' in ours:
        return (
            'it inherits a fragment of _base_/chain/ and one of what that chain is made of. '
            'Inherit the chain alone, and change its keys in the config itself'
        )
    if len(set(ours)) < len(ours):
        twice = next(kind for kind in ours if ours.count(kind) > 1)
        return (
            f'it inherits two fragments of _base_/{twice}/, and each is a method of its own. '
            f'Inherit one; of the other, write down in the config the keys that are to change'
        )
    links = ', '.join(f"'mmdet_lcp.{_RUNNERS[kind]}'" for kind in ours)
    chain = _CHAINS.get(tuple(sorted(ours)))
    fragment = f'mmdet_lcp::_base_/chain/{chain}' if chain else 'a fragment of _base_/chain/'
    return (
        f'it inherits {len(ours)} fragments, each of which is a run ({" and ".join(ours)}); one '
        f'behind the other they are a chain. Inherit {fragment}; or one of the fragments, with '
        f"runner_type='mmdet_lcp.ChainRunner', chain=[{links}] and the keys of the other in the "
        'config itself'
    )


def _kind(base: str) -> str | None:
    """Which folder of fragments a base lies in."""
    parts = base.replace('::', '/').split('/')
    folder = parts[-2] if len(parts) > 1 else ''
    return folder if folder in _RUNNERS else None
