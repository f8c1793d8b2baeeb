"""The sentences that outputs carry, word for word, so that no number travels without them."""

from __future__ import annotations

from typing import Literal

TrainingData = Literal["phantom", "real"]

RESEARCH_USE = (
    "For research use only. Not for diagnosis, prognosis or treatment decisions. Not a medical "
    "device; not clinically validated. Ki-67 marks proliferating cells, including normal and "
    "inflammatory cells; tumor cells may be negative."
)
"""On every output: reports, tables, metadata, model cards, MLflow tags."""

SYNTHETIC_TRAINING = "TRAINED ON SYNTHETIC IMAGES - NUMBERS HAVE NO BIOLOGICAL MEANING"
"""On every output of a model that was trained on phantoms."""

SYNTHETIC_IMAGES = "OF A SET WITH SYNTHETIC IMAGES (PHANTOMS) - DRAWN, NOT SCANNED"
"""On every image of an export with phantoms, beside what a model that learns from it will carry."""

NUCLEI_BY_NETWORK = (
    "Nuclei were found by a network; its model card says what it was trained on. Look at them "
    "before using the numbers."
)
"""On exports of nuclei and of ratios made of them."""

SYNTHETIC_STAIN = "SYNTHETIC - not a stain"
"""On every translated (virtual) Ki-67 image: file name, metadata and pixels."""

CIRCULAR = (
    "Circular evidence: trained and tested on phantoms drawn by the same generator. These scores "
    "show that the pipeline works; a ranking on phantoms claims no transfer to real slides."
)
"""Beside every score of a model that was trained and tested on phantoms."""

TRUE_TRANSFORM = (
    "The two sections of a phantom pair are laid on one another by the true transform, not by a "
    "registration; all scores assume it."
)
"""Beside scores on phantoms, as long as sections are not registered."""


def stamps_for(training_data: TrainingData) -> tuple[str, ...]:
    """The stamps of an output that comes from a model trained on `training_data`.

    Parameters
    ----------
    training_data : "phantom" or "real".

    Returns
    -------
    tuple of str
        `RESEARCH_USE` first; `SYNTHETIC_TRAINING` second where the model learned from phantoms.

    Raises
    ------
    ValueError
        If `training_data` is neither; an unknown origin must never pass as real.
    """
    if training_data == "real":
        return (RESEARCH_USE,)
    if training_data == "phantom":
        return (RESEARCH_USE, SYNTHETIC_TRAINING)
    raise ValueError(f"training data is 'phantom' or 'real', not {training_data!r}")
