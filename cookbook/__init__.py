"""A cookbook for LoRA fine-tuning of chat models, on SiliconCloud and on your own machine.

The parts are imported one by one (`from cookbook import data, params`). Importing the package
itself loads nothing heavy: neither torch, nor fastapi, nor matplotlib.
"""

from cookbook.connected import Connection
from cookbook.connection import connect
from cookbook.i18n import use_language

__all__ = ["Connection", "connect", "use_language"]
__version__ = "0.2.0"
