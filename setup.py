"""Package metadata; ships `configs/` and `tools/` inside the package, as mmdet does (`.mim`).

mmdet, mmcv and mmengine are extras: two stacks have the same import names, so none of them is
pulled over the other that is installed already.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ('configs', 'tools')
START = 'mmdet_lcp.pth'  # Python runs its line when it starts
START_LINE = 'import mmdet_lcp_start.hook; mmdet_lcp_start.hook.install()\n'


class BuildWithConfigs(build_py):
    """Puts configs and tools where mmengine looks for `mmdet_lcp::...`, and the start-up file."""

    def run(self) -> None:
        """Build, then copy; an editable install links instead."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        # What lies there becomes the wheel, of either kind.
        target = self.get_finalized_command('install').install_lib if editable else self.build_lib
        Path(target, START).write_text(START_LINE)
        if editable:
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
    license_files=['LICENSE'],
    packages=[
        *find_packages(include=['mmdet_lcp', 'mmdet_lcp.*', 'mmdet_lcp_start']),
        *find_packages('runtime', include=['mmdet_lcp_runtime', 'mmdet_lcp_runtime.*']),
    ],
    package_dir={'mmdet_lcp_runtime': 'runtime/mmdet_lcp_runtime'},
    package_data={
        'mmdet_lcp.measure': ['steps/*.json'],
        'mmdet_lcp.report': ['templates/*'],
        'mmdet_lcp.comparison.results': ['templates/*'],
    },
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10',
    entry_points={'console_scripts': ['mmdet-lcp = mmdet_lcp_start.commands:main']},
    install_requires=[
        'torch>=2.1',
        'numpy',
        'scipy',
        'matplotlib',
        'jinja2',
        'markupsafe',
        'pycocotools',
        'terminaltables',
        'bitarray>=2.8',
    ],
    extras_require={
        # One of the two. mmcv is compiled if there is no wheel for the torch that is installed:
        # install torch first, and then with --no-build-isolation.
        'openmmlab': ['mmdet>=3.2.0,<4', 'mmcv>=2.0.0,<2.2', 'mmengine>=0.10.4'],
        'onedl': ['onedl-mmdetection>=3.5', 'onedl-mmcv>=2.3', 'onedl-mmengine>=0.10.12'],
        'demo': ['scikit-learn'],
        'peers': ['torch-pruning>=1.5', 'torch-kirigami>=0.2.1'],
        'dev': ['pytest', 'hypothesis', 'ruff', 'torch-pruning>=1.5', 'torch-kirigami>=0.2.1'],
        'export': ['onnx>=1.15', 'onnxruntime>=1.17', 'sympy'],
        'openvino': ['openvino>=2024.4', 'nncf>=2.13'],
        'ncnn': ['ncnn>=1.0.20240820', 'pnnx'],
        'mnn': ['MNN>=3.0'],
        'litert': ['litert-torch>=0.8'],
    },
)
