"""How far a slide is: log lines that also come out of worker processes."""

from __future__ import annotations

import logging
import time

LOG_EVERY_S = 30.0

logger = logging.getLogger(__name__)


class SlideProgress:
    """Says now and then how many of a slide's regions are done and how long the rest will take.

    Parameters
    ----------
    slide_id : the slide.
    total : its regions.

    Notes
    -----
    A worker's root logger lets warnings through only. These lines are meant for the eye of whoever
    waits, so they have a level of their own there; where the user has set one, it holds.
    """

    def __init__(self, slide_id: str, total: int) -> None:
        self._slide_id, self._total = slide_id, total
        self._start_s = self._last_s = time.monotonic()
        if logging.getLogger("tumor_ratio").level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def __call__(self, done: int) -> None:
        """Tell of `done` regions, unless it was told within the last 30 s."""
        now_s = time.monotonic()
        if now_s - self._last_s < LOG_EVERY_S or not 0 < done < self._total:
            return
        self._last_s = now_s
        left_s = (now_s - self._start_s) / done * (self._total - done)
        logger.info(
            "slide %s: %d of %d regions, about %.0f min left",
            *(self._slide_id, done, self._total, left_s / 60),
        )
