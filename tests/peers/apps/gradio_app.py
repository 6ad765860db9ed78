"""The model behind Gradio, which shows the three likeliest classes."""

import sys

import gradio as gr
from model import probabilities


def classify(x):
    """Probabilities by class."""
    return {str(i): float(p) for i, p in enumerate(probabilities([x])[0])}


with gr.Blocks() as app:
    given, shown = gr.JSON(), gr.Label(num_top_classes=3)
    gr.Button("go").click(classify, given, shown, api_name="classify")
app.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
