"""Chips and masks, 512 x 512: an MMSegmentation dataset of a year."""
