"""Package metadata; ships `configs/` and `tools/` inside the package, as mmdet does (`.mim`)."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ('configs', 'tools')


class BuildWithConfigs(build_py):
    """Puts configs and tools where mmengine looks for `mmdet_lcp::...`."""

    def run(self) -> None:
        """Build, then copy; an editable install links instead."""
        super().run()
        if getattr(self, 'editable_mode', False):
            mim = ROOT / 'mmdet_lcp' / '.mim'
            mim.mkdir(exist_ok=True)
            for name in SHIPPED:
                link = mim / name
                if link.is_symlink():
                    link.unlink()
                link.symlink_to(Path('..', '..', name))
            return
        mim = Path(self.build_lib, 'mmdet_lcp', '.mim')
        for name in SHIPPED:
            target = mim / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(
                ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__', 'dev')
            )


setup(
    name='mmdet_lcp',
    version=re.search(r"'(.+)'", (ROOT / 'mmdet_lcp' / 'version.py').read_text())[1],
    description='Make an MMDetection detector small and fast by inheriting one config',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmdet_lcp', 'mmdet_lcp.*']),
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.1',
        'mmengine>=0.10.4',
        'mmcv>=2.0.0',
        'mmdet>=3.2.0,<4',
        'numpy',
        'scipy',
        'pycocotools',
        'terminaltables',
        'bitarray>=2.8',
    ],
    extras_require={
        'demo': ['scikit-learn'],
        'dev': ['pytest', 'hypothesis', 'ruff', 'torch-pruning>=1.5'],
        'export': ['onnx>=1.15', 'onnxruntime>=1.17', 'sympy'],
    },
)
