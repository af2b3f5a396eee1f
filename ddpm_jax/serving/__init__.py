"""A page in the browser that draws from a trained model. Gradio is imported in `page` alone."""

import os

# Gradio and what it imports read these when they are imported. They report to nobody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
