"""The built-in demo: a SYNTHETIC landscape with invented mines, and a local stand-in for Planet's API.

No pixel of it is a photograph. It needs neither key nor network and runs the same client code as real imagery.
"""
