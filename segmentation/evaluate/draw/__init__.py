"""Pictures of windows, predictions and curves."""
