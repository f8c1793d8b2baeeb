"""What speaks against using a model on a slide: what is declared of the slide, and how it looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.appearance import FEATURES, Appearance
from tumor_ratio.metrics.conformal import MIN_UNITS

FIELDS = ("species", "organ", "stain")
PHANTOM = "phantom"
"""What drawn slides declare where nothing is declared of them."""

MIN_CALIBRATION_SLIDES = MIN_UNITS
MOST_FINER_OR_COARSER = 1.25
"""A scan may be so many times finer or coarser than the training's."""
LEAST_EOSIN = 0.2
"""Of the stained pixels of a whole H&E section over 0.75 are eosin-pink, of small pieces over 0.4,
of hematoxylin-DAB sections under 0.05."""
LEAST_NUCLEI_PER_MM2 = 100.0
"""Tissue shows over 400 even where it is stroma."""
LEAST_DISTANCE = 4.0
"""Slides that differ less from the training's are never called unlike."""
FOCUS_MARGIN = 0.1
"""Slides may be so much less sharp than the least sharp training slide, or sharper than the
sharpest, as a share. A network that saw no blur answered 0.49 instead of 0.15 on phantoms out of
focus by 0.6 um, at 0.86 of their sharpness."""
MIN_TRAINING_SLIDES = 5
"""With fewer, nobody knows how much slides of the training's kind differ."""
TO_DEVIATION = 1.4826
"""From the median absolute deviation to a normal distribution's standard deviation."""

About = Literal["declared", "pixel_size", "focus", "appearance", "stain", "not_a_slide"]
OVERRIDABLE: tuple[About, ...] = ("declared", "pixel_size", "focus", "appearance")
"""What a user may know better. Another stain, or no slide at all, is nobody's opinion."""


class DomainWarning(NamedTuple):
    """One reason against using a model on a slide: its kind, and one line of text."""

    about: About
    text: str


@dataclass(frozen=True)
class TrainedDomain:
    """What a model's training slides declare, and how their H&E looks.

    Parameters
    ----------
    declared : species, organ and stain, each value once; empty where a slide declares nothing.
    appearances : of the training slides; empty where unknown.
    """

    declared: Mapping[str, Sequence[str]]
    appearances: tuple[Appearance, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Describe it for JSON."""
        return {
            "declared": {name: list(values) for name, values in self.declared.items()},
            "appearances": [each.to_record() for each in self.appearances],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainedDomain:
        """What `to_record` described."""
        appearances = tuple(Appearance.from_record(each) for each in record["appearances"])
        return cls(dict(record["declared"]), appearances)


def trained_domain(
    pairs: Iterable[SlidePair], appearances: Mapping[str, Appearance]
) -> TrainedDomain:
    """The domain of a training.

    Parameters
    ----------
    pairs : the training slides. A phantom declares "phantom" where nothing else is declared of it.
    appearances : of slides by id; slides without one are left out.
    """
    slides = list(pairs)
    declared = {}
    for name in FIELDS:
        values = [
            pair.meta.get(name) or (PHANTOM if pair.data_kind == "phantom" else "")
            for pair in slides
        ]
        declared[name] = sorted({str(value) for value in values}) if all(values) else []
    known = [appearances[pair.slide_id] for pair in slides if pair.slide_id in appearances]
    return TrainedDomain(declared, tuple(known))


def judge_domain(
    appearance: Appearance, declared: Mapping[str, str], trained: TrainedDomain
) -> list[DomainWarning]:
    """Everything that speaks against using a model on a slide.

    Parameters
    ----------
    appearance : how the slide looks.
    declared : its species, organ and stain protocol; empty or absent where unknown.
    trained : the model's domain.

    Returns
    -------
    list of DomainWarning
        Empty where nothing does, which is no proof that the model is valid for the slide.
    """
    return [
        *judge_declared(declared, trained.declared),
        *judge_pixel_size(appearance.mpp, [each.mpp for each in trained.appearances]),
        *judge_stain(appearance),
        *judge_focus(appearance.sharpness, [each.sharpness for each in trained.appearances]),
        *judge_appearance(appearance, trained.appearances),
    ]


def judge_declared(
    declared: Mapping[str, str], trained: Mapping[str, Sequence[str]]
) -> list[DomainWarning]:
    """Whether species, organ and stain are declared and among the training's, in any case."""
    complaints = []
    for name in FIELDS:
        value, known = (declared.get(name) or "").strip(), list(trained.get(name) or ())
        if not value:
            complaints.append(f"{name} undeclared")
        elif not known:
            complaints.append(f"{name} of the training slides undeclared")
        elif value.lower() not in {entry.lower() for entry in known}:
            complaints.append(f"{name} '{value}' is not the training's ({', '.join(known)})")
    return [DomainWarning("declared", text) for text in complaints]


def judge_pixel_size(mpp: float, trained: Sequence[float]) -> list[DomainWarning]:
    """Whether a scan is about as fine as the training's (um/px); silent where these are unknown."""
    if not trained:
        return []
    least, most = min(trained), max(trained)
    if least / MOST_FINER_OR_COARSER <= mpp <= most * MOST_FINER_OR_COARSER:
        return []
    known = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
    text = f"scanned at {mpp:.3g} um/px, the training slides at {known}"
    return [DomainWarning("pixel_size", text)]


def judge_focus(sharpness: float, trained: Sequence[float]) -> list[DomainWarning]:
    """Whether a slide is about as sharp as the training's; silent where either is unknown.

    Within a slide blurred regions are found beside sharp ones; this is for a slide that is blurred
    as a whole, or whose scanner sharpens.
    """
    known = [value for value in trained if math.isfinite(value)]
    if not known or not math.isfinite(sharpness):
        return []
    least, most = min(known), max(known)
    if least * (1 - FOCUS_MARGIN) <= sharpness <= most * (1 + FOCUS_MARGIN):
        return []
    how = "less sharp" if sharpness < least else "sharper"
    text = f"{how} than the training slides: sharpness {sharpness:.2f}, theirs "
    return [DomainWarning("focus", f"{text}{least:.2f} to {most:.2f}")]


def judge_stain(appearance: Appearance) -> list[DomainWarning]:
    """Whether it is a brightfield slide of tissue, stained with hematoxylin and eosin."""
    if appearance.dark_field:
        text = "light on a dark ground, as fluorescence is: no H&E slide"
        return [DomainWarning("stain", text)]
    if math.isnan(appearance.eosin_share) or math.isnan(appearance.nuclei_per_mm2):
        text = "too little stained tissue to tell whether it is an H&E slide"
        return [DomainWarning("not_a_slide", text)]
    found = []
    if appearance.eosin_share < LEAST_EOSIN:
        text = (
            f"only {appearance.eosin_share:.0%} of what is stained is eosin-pink: another stain "
            "than H&E, or no slide"
        )
        found.append(DomainWarning("stain", text))
    if appearance.nuclei_per_mm2 < LEAST_NUCLEI_PER_MM2:
        glass = "" if appearance.glass else ", and no glass"
        text = f"{appearance.nuclei_per_mm2:.0f} spots like nuclei a mm2{glass}: no slide of tissue"
        found.append(DomainWarning("not_a_slide", text))
    return found


def judge_appearance(appearance: Appearance, trained: Sequence[Appearance]) -> list[DomainWarning]:
    """Whether a slide looks like one of the training's.

    The distance of a slide from others is the largest over the features of
    |x - median| / max(1.4826 MAD, floor), with the floors of `imaging.appearance.FEATURES`. Of the
    n training slides and the new one each is left out in turn, and its distance from the n others
    taken. The new slide is unlike where its own is the largest of all, and over 4. A slide
    exchangeable with the training's is called unlike once in n + 1 times at most.
    """
    if len(trained) < MIN_TRAINING_SLIDES:
        text = (
            f"how it looks cannot be judged: the appearance of {len(trained)} training slides is "
            f"known, fewer than {MIN_TRAINING_SLIDES}"
        )
        return [DomainWarning("appearance", text)]
    found = []
    if not appearance.glass and all(each.glass for each in trained):
        text = "shows no glass, which every training slide does"
        found.append(DomainWarning("appearance", text))
    known = np.stack([each.features() for each in trained])
    own = appearance.features()
    distances = feature_distances(own, known)
    if not np.isfinite(distances).any():
        return found  # nothing is stained, which `judge_stain` says
    furthest = int(np.nanargmax(distances))
    limit = appearance_limit(known, own)
    if distances[furthest] > limit:
        values = known[:, furthest]
        text = (
            f"looks unlike the training slides: {list(FEATURES)[furthest]} is {own[furthest]:.2f}, "
            f"theirs {np.nanmin(values):.2f} to {np.nanmax(values):.2f} (distance "
            f"{distances[furthest]:.1f}, limit {limit:.1f})"
        )
        found.append(DomainWarning("appearance", text))
    return found


def feature_distances(own: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F,) distances of a slide's features (F,) from those of others (N, F); NaN where unknown."""
    floors = np.array(list(FEATURES.values()))
    # A column without any number has no median, and says nothing.
    filled = np.where(np.isfinite(known).any(axis=0), known, 0.0)
    median = np.nanmedian(filled, axis=0)
    spread = TO_DEVIATION * np.nanmedian(np.abs(filled - median), axis=0)
    distance = np.abs(own - median) / np.maximum(spread, floors)
    return np.where(np.isfinite(known).any(axis=0), distance, np.nan)


def appearance_limit(known: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """The largest distance of one of some slides (N, F) from the others and a new one (F,); at
    least 4.
    """
    others = [np.vstack([np.delete(known, index, axis=0), new]) for index in range(len(known))]
    distances = np.stack(
        [feature_distances(own, rest) for own, rest in zip(known, others, strict=True)]
    )
    finite = distances[np.isfinite(distances)]
    return max(LEAST_DISTANCE, float(finite.max())) if finite.size else LEAST_DISTANCE


def warning_text(warnings: Sequence[DomainWarning]) -> str:
    """All reasons in one line; empty where there is none."""
    return "; ".join(warning.text for warning in warnings)


def interval_reason(
    warnings: Sequence[DomainWarning], n_calibration_slides: int, *, anyway: bool = False
) -> str:
    """Why a prediction carries no interval; empty where it carries one.

    Parameters
    ----------
    warnings : from `judge_domain`.
    n_calibration_slides : independent slides that served neither training nor the choice of an
        epoch or map; 0 where the model has no calibration.
    anyway : the user's word that the slide is of the training's kind. It overrides what is
        declared, the pixel size, the focus and the appearance; neither another stain nor too few
        slides.
    """
    reasons = []
    if n_calibration_slides < MIN_CALIBRATION_SLIDES:
        reasons.append(
            f"{n_calibration_slides} calibration slides, fewer than {MIN_CALIBRATION_SLIDES}"
        )
    counted = [each for each in warnings if not (anyway and each.about in OVERRIDABLE)]
    if counted:
        reasons.append(warning_text(counted))
    return "interval withheld: " + "; ".join(reasons) if reasons else ""
