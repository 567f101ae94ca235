"""The tools, a module each: arguments and calls into the package.

``main()`` of a module is what ``mmdet-lcp NAME`` and the script of that name in `tools/` run.
"""
