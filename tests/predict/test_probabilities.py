"""Probabilities as they are kept."""

import numpy as np
import pytest
import rasterio

from segmentation.core.errors import PipelineError
from segmentation.geo.grid import Grid
from segmentation.predict.probability import NO_DATA, encode, read_probability, spread, write_probability

TRANSFORM = Grid().window_transform(2_785_280, 4_214_784)


def test_levels_come_back_as_they_were(tmp_path, rng):
    levels = rng.integers(0, 251, (512, 512)).astype("uint8")
    valid = rng.random((512, 512)) < 0.9
    write_probability(tmp_path / "p.tif", encode(levels, valid), TRANSFORM)
    kept = read_probability(tmp_path / "p.tif")
    assert kept.dtype == np.uint8
    assert (kept[~valid] == NO_DATA).all()
    assert (kept[valid] == levels[valid]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["p.tif"]


def test_what_a_model_says_of_no_data_is_forgotten():
    levels = np.array([[0, 125, 250]], "uint8")
    assert encode(levels, np.array([[True, False, False]])).tolist() == [[0, NO_DATA, NO_DATA]]


def test_a_damaged_file_is_named_with_the_way_out(tmp_path):
    write_probability(tmp_path / "p.tif", np.full((512, 512), 200, "uint8"), TRANSFORM)
    content = (tmp_path / "p.tif").read_bytes()
    (tmp_path / "p.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(PipelineError, match="p.tif is damaged .*run step 3 again"):
        read_probability(tmp_path / "p.tif")


@pytest.mark.parametrize("hole", [np.s_[3:5, 2:9], np.s_[:, 4:], np.s_[:0]])
def test_levels_spread_to_the_nearest_pixels_without_data(rng, hole):
    levels = rng.integers(0, 251, (9, 10)).astype("uint8")
    levels[hole] = NO_DATA
    known = np.argwhere(levels != NO_DATA)
    for (row, col), value in np.ndenumerate(spread(levels)):
        distance = ((known - (row, col)) ** 2).sum(axis=1)
        assert value in levels[tuple(known[distance == distance.min()].T)]


def test_the_file_says_what_it_is(tmp_path):
    write_probability(tmp_path / "p.tif", np.full((512, 512), 200, "uint8"), TRANSFORM)
    with rasterio.open(tmp_path / "p.tif") as file:
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), NO_DATA)
        assert (file.crs.to_epsg(), file.transform) == (3857, TRANSFORM)
        assert file.descriptions == ("probability of mine",)
        assert 200 * file.scales[0] + file.offsets[0] == pytest.approx(0.8)
