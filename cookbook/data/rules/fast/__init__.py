"""The quick path of a check, there for speed alone.

`COOKBOOK_FAST=0` takes the plain path in `check_lines.py`, with the same results.
"""
