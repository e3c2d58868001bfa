"""How good is a model? ``python -m segmentation.evaluate -year=2019 -model=MODEL -iter=N`` on windows it never saw.

Compares the probabilities that step 3 kept with the masks of the label year.
"""

from __future__ import annotations

import argparse

from segmentation import cli
from segmentation.errors import PipelineError
from segmentation.evaluation import Agreement, compare, total
from segmentation.masks import read_mask
from segmentation.model import find_run
from segmentation.probabilities import read_probability
from segmentation.windows import WRITTEN, read_windows
from segmentation.workspace import SPLITS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser(prog="python -m segmentation.evaluate", description=__doc__)
    cli.model_options(cli.common_options(parser))
    parser.add_argument("--split", choices=SPLITS, default="test", help="which windows (default: %(default)s)")
    parser.add_argument(
        "--threshold", type=cli.share, default=0.5, metavar="P", help="least probability of mine (default: %(default)s)"
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    """Print the agreement of predictions and masks over one split."""
    run = find_run(options.model, options.iter, options.config, options.checkpoint)
    folder = cli.workspace(options).year(options.year)
    windows = read_windows(folder.windows, options.year)
    chosen = windows.loc[(windows["split"] == options.split) & (windows["status"] == WRITTEN), "id"]
    pairs = [(folder.mask(options.split, name), folder.probability(run.name, name)) for name in chosen]
    if not pairs:
        raise PipelineError(f"no window of {options.year} is in the {options.split} split")
    for mask, probability in pairs:
        if not mask.exists():
            raise PipelineError(f"no mask at {mask}: {options.year} is not the label year")
        if not probability.exists():
            raise PipelineError(f"no prediction at {probability}: run gpkg_dataset_generation.py first")
    agreements = [compare(read_mask(mask), read_probability(found), options.threshold) for mask, found in pairs]
    print(f"{run.name} on {len(pairs)} {options.split} windows of {options.year}, threshold {options.threshold}")
    print(table(total(agreements)))
    return cli.DONE


def table(agreement: Agreement) -> str:
    """The figures of the study's validation and the IoU of the mine class, a line each."""
    measures = ("accuracy", "precision", "recall", "f1", "iou")
    return "\n".join(f"{name:<12}{getattr(agreement, name):8.3f}" for name in measures)


if __name__ == "__main__":
    cli.run(main, arguments())
