"""Metrics, plots and the model card."""
