"""A process and its neighbours: cores, signals, streams, locks, workers."""
