"""Worker processes, as every step that uses them wants them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait

# GDAL's cache of blocks in each worker; its own default is a share of the machine's memory.
_BLOCK_CACHE_MB = "256"


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes that end with the main process, even if that is killed.

    They are started afresh: forking a process whose threads are downloading is not safe.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_settle_in)


def _settle_in() -> None:
    os.environ["GDAL_CACHEMAX"] = _BLOCK_CACHE_MB
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
