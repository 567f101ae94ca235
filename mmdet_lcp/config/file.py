"""Read a config file with changes from a command line; what is wrong with it is said in a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE, ConfigParsingError

from mmdet_lcp.compat.mmengine import config_path
from mmdet_lcp.config.fragments import mixed_fragments
from mmdet_lcp.config.names import named_config
from mmdet_lcp.errors import CompressionError

CHECKPOINTS = ('.pth', '.pt')


def read_config(path: str, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a config, of either style of mmengine's; classes and functions in it become names.

    Args:
        path: a file, or ``'package::folder/file.py'`` as in ``_base_``.
        changes: by dotted key.

    Raises:
        CompressionError: there is no such file, it cannot be read, or it is a checkpoint.
    """
    file = _located(path)
    if Path(file).suffix in CHECKPOINTS:
        raise CompressionError(f'{path} is a checkpoint: the config comes first, then its weights')
    try:
        cfg = named_config(Config.fromfile(file))
    except CompressionError as error:
        raise CompressionError(f'{path}: {error}') from error
    except ImportError as error:
        raise CompressionError(f'{path}: {_not_imported(error)}') from error
    except Exception as error:  # a config is a program: it may fail with anything
        raise CompressionError(f'{path} cannot be read: {_reason(file, error)}') from error
    if changes:
        cfg.merge_from_dict(dict(changes))
    return cfg


def _not_imported(error: ImportError) -> str:
    """What a config imports and cannot."""
    missing: BaseException | None = error
    while missing and not isinstance(missing, ModuleNotFoundError):  # below mmengine's errors
        missing = missing.__cause__ or missing.__context__
    name = (getattr(missing, 'name', None) or '').partition('.')[0]
    if name in MODULE2PACKAGE:
        package = MODULE2PACKAGE[name]
        return f'it needs the package {name}, which is not installed: pip install {package}'
    said = str(error).partition(', the current sys.path')[0]  # a list of folders follows
    return f'{said}. A module of your own is found where PYTHONPATH says, e.g. PYTHONPATH=.'


def _reason(file: str, error: Exception) -> str:
    """What is wrong with a config, in the user's words."""
    text = str(error)
    if isinstance(error, KeyError) and 'Duplicate key' in text:
        return mixed_fragments(file, error.args[0])
    if 'in the inheritance chain must match' in text:
        return (
            'a config with `_base_` inherits one with `with read_base():` or with imports, or '
            'the other way round, and mmengine takes one style at a time. Write both in one '
            'style; fragments of this package have `_base_`: what they say fits into a new-style '
            'config as plain keys'
        )
    if (
        isinstance(error, RuntimeError) and not text
    ):  # mmengine's, from a name that is no object yet
        return 'a new-style config calls what it imports, which mmengine does not allow'
    if isinstance(error, (OSError, SyntaxError, NameError, TypeError, ConfigParsingError)):
        return text
    return f'{type(error).__name__}: {text}'


def _located(path: str) -> str:
    """The file that a path names."""
    file, hint = path, ''
    if '::' in path:
        hint = ": a package's config is named as in `_base_`, mmdet::ssd/ssd300_coco.py"
        try:
            file = config_path(path)
        except (ValueError, AssertionError, ImportError, OSError, ConfigParsingError) as error:
            raise CompressionError(f'{path}: there is no such config{hint}') from error
    if not Path(file).is_file():
        raise CompressionError(f'{path}: there is no such config{hint}')
    return file
