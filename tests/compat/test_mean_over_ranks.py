"""mmdet's mean over ranks is that of one rank for a while, and of all of them again after that."""

import torch
from mmdet.models.dense_heads import fcos_head
from ranks import be_the_other_rank, on_two_ranks

from mmdet_lcp.compat.mean_over_ranks import this_rank_alone


def facts(rank: int) -> list[float]:
    own = torch.tensor(float(10 + rank))
    found = [float(fcos_head.reduce_mean(own))]
    with this_rank_alone():
        found.append(float(fcos_head.reduce_mean(own)))
    try:
        with this_rank_alone():
            raise ValueError
    except ValueError:
        found.append(float(fcos_head.reduce_mean(own)))
    return found


def test_a_head_sees_its_own_rank_alone(tmp_path):
    assert on_two_ranks(facts, __file__, tmp_path) == ([10.5, 10, 10.5], [10.5, 11, 10.5])


if __name__ == '__main__':
    be_the_other_rank(facts)
