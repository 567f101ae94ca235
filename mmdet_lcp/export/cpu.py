"""Which integer instructions a CPU has: on them the accuracy and speed of eight bits depend."""

import platform
from pathlib import Path

# By flag of /proc/cpuinfo, the best first; each adds products of eight bits up in 32.
KNOWN = {
    'amx_int8': 'AMX int8',
    'avx512_vnni': 'AVX-512 VNNI',
    'avx_vnni': 'AVX VNNI',
    'i8mm': 'Arm int8 matrices',
    'asimddp': 'Arm dot product',
}
WITHOUT = 'without VNNI: products are added in 16 bits and can overflow'


def integer_instructions(cpuinfo: str | None = None) -> str:
    """What this CPU has.

    Args:
        cpuinfo: text as of ``/proc/cpuinfo``; default: this machine's.
    """
    if cpuinfo is None:
        try:
            cpuinfo = Path('/proc/cpuinfo').read_text()
        except OSError:
            return f'{platform.machine()}, instructions not known'
    flags: set[str] = set()
    for line in cpuinfo.splitlines():
        if line.partition(':')[0].strip() in ('flags', 'Features'):
            flags |= set(line.partition(':')[2].split())
    if not flags:
        return f'{platform.machine()}, instructions not known'
    found = [name for flag, name in KNOWN.items() if flag in flags]
    return 'with ' + ', '.join(found) if found else WITHOUT
