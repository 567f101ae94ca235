"""What a trace has found so far, by hand."""

import torch

from mmdet_lcp.graph.trace_state import TraceState


def test_a_map_and_its_channels():
    state = TraceState()
    written = state.write('conv', 3)
    assert torch.equal(written, state.write('conv', 3))  # the same in each of its runs
    image, found = torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    state.mark(found, written, 1)
    assert state.labels[found].shape == (1, 3, 1, 1)
    assert torch.equal(state.channels(found, 1), written)
    assert state.channels(image, 1).tolist() == [0, 0, 0]
    state.label(image, torch.zeros(1, 1, 1, 1, dtype=torch.int64))
    assert image not in state.labels


def test_rows_of_mixed_channels_are_tied():
    """Along the height each row has all channels: they can only go together."""
    state = TraceState()
    found = torch.zeros(1, 3, 4, 4)
    written = state.write('conv', 3)
    state.mark(found, written, 1)
    rows = state.channels(found, 2)
    assert len(set(rows.tolist())) == 1
    assert len(set(state.ties.roots(written).tolist())) == 1


def test_a_layer_that_runs_twice():
    state = TraceState()
    first, second = state.write('a', 2), state.write('b', 2)
    state.read('shared', first)
    state.read('shared', second)
    assert torch.equal(state.ties.roots(first), state.ties.roots(second))
    assert state.ties.roots(first).unique().numel() == 2
    state.scale('norm', first)
    state.scale('norm', second)
    assert set(state.scales) == {'norm'}


def test_another_thing_in_its_place_stays():
    """The second time the layer reads an image where it read a channel before."""
    state = TraceState()
    written = state.write('a', 2)
    state.read('shared', written)
    state.read('shared', torch.tensor([0, int(written[1])]))
    reasons = [state.ties.reasons(int(channel)) for channel in written]
    assert 'runs several times' in str(reasons[0]) and not reasons[1]


def test_all_of_a_tensor_stays():
    state = TraceState()
    found, other = torch.zeros(1, 2, 1, 1), torch.zeros(1)
    written = state.write('conv', 2)
    state.mark(found, written, 1)
    state.stay({'nested': [found, other]}, 'because')
    assert state.stayed == 1
    assert all('because' in str(state.ties.reasons(int(channel))) for channel in written)
