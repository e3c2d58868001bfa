"""Probabilities as they are kept."""

import numpy as np
import pytest
import rasterio

from segmentation.grid import Grid
from segmentation.probabilities import NO_DATA, encode, read_probability, write_probability

TRANSFORM = Grid().window_transform(2_785_280, 4_214_784)


def test_probabilities_come_back_within_half_a_step(tmp_path, rng):
    probability = rng.random((512, 512)).astype("float32")
    valid = rng.random((512, 512)) < 0.9
    write_probability(tmp_path / "p.tif", encode(probability, valid), TRANSFORM)
    kept = read_probability(tmp_path / "p.tif")
    assert kept.dtype == np.uint8
    assert (kept[~valid] == NO_DATA).all()
    assert np.abs(kept[valid] / 250 - probability[valid]).max() <= 0.5 / 250 + 1e-6
    assert [path.name for path in tmp_path.iterdir()] == ["p.tif"]


def test_certain_and_impossible_are_kept_exactly():
    assert encode(np.array([[0.0, 0.5, 1.0]]), np.array([[True] * 3])).tolist() == [[0, 125, 250]]


def test_what_a_model_says_of_no_data_is_forgotten():
    assert encode(np.array([[np.nan, 0.9]]), np.array([[False, False]])).tolist() == [[NO_DATA, NO_DATA]]


def test_the_file_says_what_it_is(tmp_path):
    write_probability(tmp_path / "p.tif", np.full((512, 512), 200, "uint8"), TRANSFORM)
    with rasterio.open(tmp_path / "p.tif") as file:
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), NO_DATA)
        assert (file.crs.to_epsg(), file.transform) == (3857, TRANSFORM)
        assert file.descriptions == ("probability of mine",)
        assert 200 * file.scales[0] + file.offsets[0] == pytest.approx(0.8)
