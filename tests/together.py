"""Which tests run in one process where several share them (pytest-xdist)."""

from functools import cache

from xdist.scheduler import LoadScopeScheduling

from segmentation.core.workspace import REPOSITORY

# What files share, and what every process would make otherwise.
_SHARED = ("rendered_quads", "calm_run")


class Together(LoadScopeScheduling):
    """The tests of a file stay together, as they share its fixtures; so do all files that share runs of ``step_1``."""

    def schedule(self) -> None:
        """Begin with what takes longest: what one process does last, the others wait for."""
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "step 1" if _shares_a_run(file) else file


@cache
def _shares_a_run(file: str) -> bool:
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    return any(name in text for name in _SHARED)
