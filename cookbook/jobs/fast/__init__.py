"""The quick path of drawing, there for speed alone: `COOKBOOK_FAST=0` takes `jobs/plot.py`."""
