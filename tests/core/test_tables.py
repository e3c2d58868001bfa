"""Tables as commands print them."""

import numpy as np

from segmentation.core.tables import amount, table_row


def test_amounts_stand_below_each_other_whatever_their_labels_and_units():
    lines = [amount("windows planned", 45_123), amount("  written", np.int64(7)), amount("time", "1.50 h")]
    assert lines[0] == "windows planned" + 29 * " " + "      45,123"
    assert {len(line) for line in lines} == {56}
    assert [line.split("  ")[-1].strip() for line in lines] == ["45,123", "7", "1.50 h"]


def test_a_row_has_commas_in_numbers_and_leaves_texts_such_as_years_alone():
    template = "{:<6}{:>9}  {}"
    assert table_row(template, "", "polygons", "interval") == "       polygons  interval"
    assert table_row(template, "2019", 12_345, "0.1 to 0.2") == "2019     12,345  0.1 to 0.2"
