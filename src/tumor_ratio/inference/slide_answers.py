"""A table of slide files in, a row of results for each out: what a served model does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tumor_ratio.cohort.manifest import FILE_NAME
from tumor_ratio.cohort.slide_names import slide_id_of
from tumor_ratio.errors import ConfigurationError, SlideError, TumorRatioError
from tumor_ratio.imaging.opening import forget_reader
from tumor_ratio.imaging.readers import one_line
from tumor_ratio.imaging.slide import open_slide
from tumor_ratio.inference.allowed_places import allowed_file
from tumor_ratio.inference.answer_params import AnswerParams
from tumor_ratio.inference.domain import FIELDS
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.output_tables import empty_record, slide_table
from tumor_ratio.inference.region_grid import RegionGrid
from tumor_ratio.inference.region_model import RegionModel
from tumor_ratio.inference.whole_slide import predict_whole_slide

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlideQuestion:
    """A slide that is asked for.

    Parameters
    ----------
    slide_path : the H&E slide's file, as it was named.
    slide_id : its name in the answer; empty takes the file's.
    he_mpp : micrometres per pixel; it wins over `AnswerParams.mpp` and over what the file says.
    """

    slide_path: str
    slide_id: str = ""
    he_mpp: float | None = None

    @property
    def named(self) -> str:
        """The slide's name in the answer."""
        return self.slide_id or slide_id_of(Path(self.slide_path).stem)


def questions_of(table: pd.DataFrame) -> list[SlideQuestion]:
    """Questions of a table with slide_path and, where known, slide_id and he_mpp.

    Missing values are unknown. What is wrong with a row shows in its answer.

    Raises
    ------
    ConfigurationError
        If the table has no column slide_path.
    """
    if "slide_path" not in table:
        raise ConfigurationError("there is no column slide_path", "name a slide's file in each row")
    rows = [
        {str(name): value for name, value in row.items() if not pd.isna(value)}
        for row in table.to_dict("records")
    ]
    return [
        SlideQuestion(
            str(row.get("slide_path", "")),
            str(row.get("slide_id", "")),
            float(row["he_mpp"]) if "he_mpp" in row else None,
        )
        for row in rows
    ]


def answer_slides(
    questions: Sequence[SlideQuestion],
    model: RegionModel,
    calibration: NewSlideCalibration | None,
    params: AnswerParams,
    roots: Sequence[Path],
) -> pd.DataFrame:
    """Answer for slides one by one.

    Parameters
    ----------
    questions : the slides.
    model, calibration : what answers.
    params : of all slides.
    roots : folders that files may come from, see `allowed_roots`.

    Returns
    -------
    DataFrame
        A row a question, in their order: the columns of `slide_table`, and error, which says why
        there is no result and is empty where there is one. Every row is stamped.

    Raises
    ------
    ConfigurationError
        If the model's regions cannot be laid by `params`.
    """
    try:
        RegionGrid(model.size_px, model.mpp, params.step_px or model.size_px, params.min_tissue)
    except ValueError as error:
        raise ConfigurationError(str(error), "correct `step_px`") from error
    records, errors = {}, []
    for number, question in enumerate(questions):
        records[str(number)], why = _answer(question, model, calibration, params, roots)
        errors.append(why)
    if not records:
        raise ConfigurationError("no slide is asked for", "name a slide's file in each row")
    names = [question.named for question in questions]  # two may be alike; the numbers are not
    return slide_table(records).assign(slide_id=names, error=errors)


def summary_of_file(
    path: Path,
    slide_id: str,
    mpp: float | None,
    model: RegionModel,
    calibration: NewSlideCalibration | None,
    params: AnswerParams,
) -> dict[str, Any]:
    """All that is said of one slide, as the pipeline says it; see `summarise_slide`.

    Raises
    ------
    SlideError
        If the slide cannot be opened or used.

    Notes
    -----
    A large TIFF in strips is copied into tiles as the pipeline does, but the copy is not kept.
    """
    declared = {name: str(getattr(params, name)) for name in FIELDS}
    with TemporaryDirectory() as pyramids:
        slide = open_slide(path, slide_id=slide_id, mpp=mpp, pyramids=pyramids)
        try:
            return predict_whole_slide(
                *(slide, model, calibration, declared),
                step_px=params.step_px,
                min_tissue=params.min_tissue,
                labellings=params.labellings,
            ).record
        finally:
            for read in {path, slide.path}:
                forget_reader(read)


def _answer(
    question: SlideQuestion,
    model: RegionModel,
    calibration: NewSlideCalibration | None,
    params: AnswerParams,
    roots: Sequence[Path],
) -> tuple[dict[str, Any], str]:
    """A record and no error, or an empty record and why."""
    try:
        slide_id = _checked_name(question)
        path = allowed_file(question.slide_path, slide_id, roots)
        mpp = params.mpp if question.he_mpp is None else question.he_mpp
        return summary_of_file(path, slide_id, mpp, model, calibration, params), ""
    except TumorRatioError as error:
        return empty_record(question.named, model.card), str(error)
    except Exception as error:  # one slide's trouble must not take the others' answers
        logger.exception("slide %s", question.named)
        return empty_record(question.named, model.card), (
            f"slide {question.named}: {type(error).__name__}: {one_line(error)}"
        )


def _checked_name(question: SlideQuestion) -> str:
    if not FILE_NAME.fullmatch(question.named):
        raise SlideError(
            question.named[:100],
            "the slide_id may have letters, digits, '_', '.' and '-' only, 100 at most",
            "correct slide_id",
        )
    return question.named
