"""Python imports this at its start where the folder is on PYTHONPATH: as if TensorFlow were not installed."""

import sys

sys.modules["tensorflow"] = None
