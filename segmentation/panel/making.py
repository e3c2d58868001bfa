"""How the polygons of a panel's years were made: years made in different ways are not joined without being asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segmentation.core.errors import PipelineError
from segmentation.core.provenance import (
    COMPARED,
    INVENTED,
    MENTIONED,
    SYNTHETIC,
    differences,
    is_told,
    listed,
    say_differences,
    together,
    windows_apart,
)
from segmentation.geo.metadata import read_provenance
from segmentation.panel.inputs import YearInput


@dataclass(frozen=True)
class Making:
    """What the files of a panel say of how they were made.

    Attributes:
        by_year: the settings of every year's polygons; empty where a file does not say them.
        mixed: in what the years differ, in words; empty where they are alike.
        synthetic: what is said of imagery that is drawn; None for real imagery.
        notes: what else there is to say, a line each.
    """

    by_year: dict[int, dict[str, str]]
    mixed: str
    synthetic: str | None
    notes: tuple[str, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """The settings of all years as one set, and in what they differ."""
        return together(self.by_year) | self._mixture

    def of_year(self, year: int) -> dict[str, str]:
        """The settings of one year, and in what the years of the panel differ."""
        return self.by_year[year] | self._mixture

    @property
    def _mixture(self) -> dict[str, str]:
        return {"mixed": self.mixed} if self.mixed else {}


def read_making(inputs: Sequence[YearInput], *, mixed: bool = False, demo: bool = False) -> Making:
    """Compare how the years were made.

    Args:
        inputs: the files of every year.
        mixed: join years even if they were made in different ways.
        demo: the workspace is the demo's, whose older files do not say that they are synthetic.

    Raises:
        PipelineError: years were made in different ways, or a year's windows are not those of its polygons.
    """
    told = {source.year: read_provenance(source.polygons) for source in inputs}
    windows = {source.year: read_provenance(source.windows) if source.windows else {} for source in inputs}
    apart = [windows_apart(year, made, windows[year]) for year, made in told.items()]
    marks = {year: made.get(SYNTHETIC) or (INVENTED if demo else None) for year, made in windows.items()}
    polygons = {year: _with_mark(made, marks[year]) for year, made in told.items()}
    problems = [say_differences(differences(polygons, COMPARED)), *apart]
    reason = "; ".join(problem for problem in problems if problem)
    if reason and not mixed:
        raise PipelineError(
            f"years that were made in different ways are not compared: {reason}; "
            "make them alike with step 3, or say --mixed to join them all the same"
        )
    synthetic = next((made[SYNTHETIC] for made in polygons.values() if made.get(SYNTHETIC)), None)
    return Making(polygons, reason, synthetic, _notes(inputs, told, reason, synthetic))


def _with_mark(settings: dict[str, str], mark: str | None) -> dict[str, str]:
    """The settings of polygons that lie on synthetic imagery by what their windows or their workspace say."""
    return {SYNTHETIC: mark} | settings if mark else settings


def _notes(
    inputs: Sequence[YearInput], told: dict[int, dict[str, str]], mixed: str, synthetic: str | None
) -> tuple[str, ...]:
    notes = []
    if synthetic:
        notes.append(f"synthetic: {synthetic}")
    if mixed:
        notes.append(f"mixed: {mixed}; what changes between these years may be the method's, not the mines'")
    silent = [source for source in inputs if not is_told(told[source.year])]
    if 0 < len(silent) < len(inputs):
        names = ", ".join(source.polygons.name for source in silent)
        years = listed([source.year for source in silent])
        notes.append(
            f"nothing says how the polygons of {years} were made ({names}): joined unchecked with years that do"
        )
    if other := differences(told, MENTIONED):
        notes.append(f"years differ in options of their imagery: {say_differences(other)}")
    return tuple(notes)
