"""Years that are compared with each other: they have to come from imagery of the same kind."""

from __future__ import annotations

from segmentation.core.errors import PipelineError
from segmentation.core.files import read_json
from segmentation.core.provenance import SYNTHETIC
from segmentation.core.workspace import Workspace
from segmentation.imagery.reflectance import STRETCH

# What all years of a workspace have to share: a model, and a panel, must see the same kind of imagery every year.
# By name, with what it means where a year's settings do not say it.
_SHARED = {"imagery": None, "level": None, "bands": None, "encoding": STRETCH, SYNTHETIC: None}


def refuse_mixture(workspace: Workspace, year: int, settings: dict[str, str | int]) -> None:
    """Make sure that the other years of a workspace were made from imagery of the same kind.

    Raises:
        PipelineError: they were not.
    """
    for other in workspace.years():
        folder = workspace.year(other)
        before = read_json(folder.settings)
        if other == year or not before:
            continue
        if not (folder.holds_chips() or folder.is_being_worked_on()):
            continue  # left by a run that made nothing
        was, now = _shared(before), _shared(settings)
        changed = [name for name in _SHARED if was[name] != now[name]]
        if changed:
            raise PipelineError(
                f"{other} in this workspace was made from other imagery ({_listed(was, changed)}) than {year} would be "
                f"({_listed(now, changed)}): years are compared with each other; choose another --data-root"
            )


def _shared(settings: dict) -> dict[str, str | int | None]:
    """Those settings of a year that all years have to share."""
    return {name: settings.get(name, silent) for name, silent in _SHARED.items()}


def _listed(settings: dict[str, str | int | None], names: list[str]) -> str:
    return ", ".join(f"{name} {settings[name] or 'not said'}" for name in names)
