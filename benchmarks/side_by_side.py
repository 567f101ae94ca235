"""Cost of several detectors side by side: counted, and measured in turns."""

import statistics
from collections.abc import Sequence

import torch
from torch import nn

from mmdet_lcp.measure.cost import detector_cost
from mmdet_lcp.measure.latency import latency_ms, undisturbed_clock
from mmdet_lcp.measure.latency_table import device_name
from mmdet_lcp.report.tables import text_table

Sizes = dict[str, tuple[int, int]]


def cost_table(
    detectors: dict[str, nn.Module],
    sizes: Sizes,
    threads: Sequence[int],
    rounds: int,
    device: torch.device,
) -> str:
    """Count and measure; print the device's name for each number of threads.

    The detectors take turns, one image each: whatever else the machine does meets all of them
    alike. Factors are medians over the rounds of the ratio to the first detector in the same
    round. On one CPU thread the time is the processor's, of this process alone; on several it is
    the wall's.

    Args:
        detectors: by name, the reference first.
        sizes: (height, width) in pixels of the image of each.
        threads: numbers of threads.
        rounds: turns of each, >= 1.
        device: where they lie.

    Returns:
        A table of parameters, multiply-accumulates, milliseconds and factors.
    """
    costs = {name: detector_cost(detector, sizes[name]) for name, detector in detectors.items()}
    measured = {}
    for number in threads:
        torch.set_num_threads(number)
        print(device_name(device), flush=True)
        measured[number] = _take_turns(detectors, sizes, rounds, device)
    reference = next(iter(detectors))
    heads = ['detector', 'parameters', 'MACs', 'fewer MACs']
    heads += [word for n in measured for word in (f'ms, {n} thr.', f'faster, {n} thr.')]
    rows = []
    for name, cost in costs.items():
        row = [name, f'{cost["params"] / 1e6:.2f} M', f'{cost["macs"] / 1e6:.0f} M']
        row.append(f'{costs[reference]["macs"] / cost["macs"]:.1f}')
        for times in measured.values():
            faster = statistics.median(
                first / own for first, own in zip(times[reference], times[name], strict=True)
            )
            row += [f'{statistics.median(times[name]):.1f}', f'{faster:.1f}']
        rows.append(row)
    return text_table(heads, rows)


def _take_turns(
    detectors: dict[str, nn.Module], sizes: Sizes, rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Milliseconds of one image of each detector in each round."""
    clock = undisturbed_clock(device)
    times: dict[str, list[float]] = {name: [] for name in detectors}
    for number in range(rounds + 1):
        for name, detector in detectors.items():
            ms = latency_ms(detector, sizes[name], runs=1, warmup=1, clock=clock)
            if number:  # in the first round memory is still being made
                times[name].append(ms)
    return times
