"""Threads of PyTorch that wait for each other sleep, so that a busy machine is not slowed further.

By default GNU's OpenMP, which PyTorch's CPU build runs on, lets a thread that waits spin for a
while. Where other work is on the cores, it spins through the time slices that the thread it waits
for would need. A training step of a ten-layer network on two cores, 2 threads, PyTorch 2.13:

    ============================  ========  ========  ===================
    seconds a step                default   passive   GOMP_SPINCOUNT=1000
    ============================  ========  ========  ===================
    alone (real-time priority)    0.21      0.20      0.21
    beside other work, load 9     5.9, 7.8  0.8, 1.4  1.5, 1.6
    ============================  ========  ========  ===================

OpenMP reads the environment when it is loaded, which importing torch does.
"""

import os
import sys

POLICY = 'OMP_WAIT_POLICY'
# Whoever has set one of them has chosen; the last is that of Intel's OpenMP.
CHOICES = (POLICY, 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')


def let_waiting_threads_sleep() -> None:
    """Choose it for this process and its children, before torch is imported and unless told."""
    if 'torch' not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ[POLICY] = 'passive'
