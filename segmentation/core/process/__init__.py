"""A process and its neighbours: environment, cores, signals, streams, locks, threads, workers."""
