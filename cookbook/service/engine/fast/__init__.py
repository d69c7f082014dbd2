"""Quick paths of answering and training, there for speed alone: `COOKBOOK_FAST=0` skips them."""
