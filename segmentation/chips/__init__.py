"""Chips and masks, 512 x 512: an MMSegmentation dataset of a year.

``dataset`` makes a year's, ``batches`` hands windows to worker processes, ``cutting`` is what these do with one;
``chip`` and ``mask`` are the files, ``summary`` says what came of it.
"""
