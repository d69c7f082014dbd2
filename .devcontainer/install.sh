#!/usr/bin/env bash
# Install the course in a dev container: a Chinese font for plots, torch for the CPU, the package.
set -euo pipefail
cd "$(dirname "$0")/.."
sudo apt-get update
sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends fonts-noto-cjk
# First, so that the package does not bring the build for CUDA, which is some GB larger.
python -m pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch
python -m pip install -c constraints.txt -e '.[local]'
