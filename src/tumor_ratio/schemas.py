"""The tables that the parts share, as pandera schemas; the catalog checks them on save and load.

Undefined numbers are NaN, never 0. Coordinates `x_px, y_px` of a region are level-0 pixels of the
pair's frame (the H&E slide, or the IHC slide where there is no H&E), half-open; `size_px` counts
pixels at `mpp` (micrometres per pixel).
"""

from __future__ import annotations

from typing import Any

import pandera.pandas as pa
from pandera.typing.pandas import Series

RATIO: dict[str, Any] = {"ge": 0.0, "le": 1.0, "nullable": True}


class Table(pa.DataFrameModel):
    """Base: columns are coerced, columns beyond the named ones are refused."""

    class Config:
        """Pandera's settings."""

        coerce = True
        strict = True


class Regions(Table):
    """Square regions: tiles, or the patches cut from them."""

    region_id: Series[str]
    slide_id: Series[str]
    tile_id: Series[str]
    kind: Series[str] = pa.Field(isin=["tile", "patch"])
    x_px: Series[int]
    y_px: Series[int]
    size_px: Series[int] = pa.Field(gt=0)
    mpp: Series[float] = pa.Field(gt=0)

    class Config(Table.Config):
        """Each region appears once."""

        unique = ["region_id"]  # noqa: RUF012  pandera reads a plain list


class TileQuality(Table):
    """What is known of a tile pair, and whether it is kept (with the reason where it is not)."""

    region_id: Series[str] = pa.Field(unique=True)
    slide_id: Series[str]
    he_white: Series[float] = pa.Field(**RATIO)
    ihc_white: Series[float] = pa.Field(**RATIO)
    ssim_rgb: Series[float] = pa.Field(nullable=True)
    structure_score: Series[float] = pa.Field(nullable=True)
    admitted: Series[bool]
    """Whether the frame's own slide (H&E where there is one) admits the tile: tissue enough."""
    kept: Series[bool]
    reason: Series[str]
    """Empty for a kept tile."""


class PairQuality(Table):
    """Tile pairs after the nuclei are known: density agreement, weight, and the final choice."""

    region_id: Series[str] = pa.Field(unique=True)
    slide_id: Series[str]
    he_nuclei: Series[float] = pa.Field(nullable=True)
    ihc_nuclei: Series[float] = pa.Field(nullable=True)
    density_agreement: Series[float] = pa.Field(nullable=True)
    weight: Series[float] = pa.Field(ge=0)
    kept: Series[bool]
    reason: Series[str]


class Nuclei(Table):
    """Nuclei of one slide; positions in level-0 pixels of its own slide and of the pair's frame."""

    nucleus_id: Series[int]
    x_px: Series[float]
    y_px: Series[float]
    x_he_px: Series[float]
    y_he_px: Series[float]
    area_um2: Series[float] = pa.Field(gt=0)
    hematoxylin_od: Series[float] = pa.Field(nullable=True)
    dab_od_mean: Series[float] = pa.Field(nullable=True)
    dab_od_max: Series[float] = pa.Field(nullable=True)
    dab_od_core: Series[float] = pa.Field(nullable=True)
    """Mean of the inner third, away from the blurred rim: what positive and grade go by."""
    dab_od_between: Series[float] = pa.Field(nullable=True)
    """Of the tissue between the nuclei around it."""
    positive: Series[bool]
    grade: Series[int] = pa.Field(ge=0, le=3)
    """0 negative, 1 weak, 2 moderate, 3 strong DAB."""
    confidence: Series[float] = pa.Field(ge=0.5, le=1, nullable=True)
    """That positive or negative is right; NaN on H&E."""
    detection: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    """The network's probability that this is a nucleus."""
    outline: Series[object]
    """Packed, see `tumor_ratio.imaging.outlines`."""


class StainingQuality(Table):
    """How far a slide's measured ratio can be trusted, one row a slide."""

    slide_id: Series[str] = pa.Field(unique=True)
    n_nuclei: Series[int] = pa.Field(ge=0)
    n_negative: Series[int] = pa.Field(ge=0)
    median_diameter_um: Series[float] = pa.Field(nullable=True)
    mean_diameter_um: Series[float] = pa.Field(nullable=True)
    """Weighted by area."""
    white_od: Series[float]
    """Density of glass, which all others are measured against; 0 where there is none."""
    has_glass: Series[bool]
    dab_between_od: Series[float] = pa.Field(nullable=True)
    """Of the tissue between nuclei: the median of the nuclei's surroundings."""
    h_score: Series[float] = pa.Field(ge=0, le=300, nullable=True)
    tumor_ratio: Series[float] = pa.Field(**RATIO)
    ratio_at_010: Series[float] = pa.Field(**RATIO)
    """The slide's ratio if nuclei were positive from a DAB density of 0.10 on; and so on."""
    ratio_at_015: Series[float] = pa.Field(**RATIO)
    ratio_at_020: Series[float] = pa.Field(**RATIO)
    ratio_at_025: Series[float] = pa.Field(**RATIO)
    ratio_at_030: Series[float] = pa.Field(**RATIO)
    trusted: Series[bool]
    reason: Series[str] = pa.Field(nullable=True)
    """Why it is not trusted; a CSV brings empty text back as undefined."""


class RatioLabels(Table):
    """The ratio of a region by one method, with its interval and the counts behind it."""

    region_id: Series[str]
    label_method: Series[str]
    tumor_ratio: Series[float] = pa.Field(**RATIO)
    lower: Series[float] = pa.Field(**RATIO)
    upper: Series[float] = pa.Field(**RATIO)
    positive_share: Series[float] = pa.Field(**RATIO)
    n_positive: Series[int] = pa.Field(ge=0)
    n_nuclei: Series[int] = pa.Field(ge=0)
    positive_um2: Series[float] = pa.Field(ge=0)
    nuclei_um2: Series[float] = pa.Field(ge=0)
    weight: Series[float] = pa.Field(ge=0)

    class Config(Table.Config):
        """A region has one label a method."""

        unique = ["region_id", "label_method"]  # noqa: RUF012


class Strokes(Table):
    """Pixels that someone labelled, on tiles of training slides."""

    section: Series[str] = pa.Field(isin=["he", "ihc"])
    slide_id: Series[str]
    x_px: Series[int]
    y_px: Series[int]
    """The tile's corner, level-0 pixels of the frame."""
    size_px: Series[int] = pa.Field(gt=0)
    mpp: Series[float] = pa.Field(gt=0)
    row: Series[int] = pa.Field(ge=0)
    column: Series[int] = pa.Field(ge=0)
    """The pixel, in the tile."""
    label: Series[int] = pa.Field(gt=0)
    """Place of the class in `class_names`, from 1."""


class ClassAreas(Table):
    """What a pixel classification gives to each class in a region."""

    region_id: Series[str]
    class_name: Series[str]
    area_um2: Series[float] = pa.Field(ge=0)

    class Config(Table.Config):
        """A region has one area a class."""

        unique = ["region_id", "class_name"]  # noqa: RUF012


class ClassShares(Table):
    """The share of some classes' area in that of all nuclei's classes, by region."""

    region_id: Series[str] = pa.Field(unique=True)
    ratio: Series[float] = pa.Field(**RATIO)
    counted_um2: Series[float] = pa.Field(ge=0)
    nuclei_um2: Series[float] = pa.Field(ge=0)
    slide_id: Series[str]


class SectionAgreement(Table):
    """How a ratio by pixel classes agrees with another, on test slides."""

    estimate: Series[str]
    against: Series[str]
    unit: Series[str] = pa.Field(isin=["patch", "tile"])
    n_slides: Series[int] = pa.Field(ge=0)
    n_regions: Series[int] = pa.Field(ge=0)
    n_undefined: Series[int] = pa.Field(ge=0)
    within_0_05: Series[float] = pa.Field(**RATIO)
    within_0_1: Series[float] = pa.Field(**RATIO)
    within_0_2: Series[float] = pa.Field(**RATIO)
    mse: Series[float] = pa.Field(nullable=True)
    mae: Series[float] = pa.Field(nullable=True)
    mae_of_median: Series[float] = pa.Field(nullable=True)
    """Of always answering the training slides' median: what an estimate must beat."""


class TrainingPatches(Table):
    """A sampled patch of a fold's training or validation slide, with what it teaches."""

    repeat: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)
    region_id: Series[str]
    slide_id: Series[str]
    tile_id: Series[str]
    kind: Series[str] = pa.Field(isin=["patch"])
    x_px: Series[int]
    y_px: Series[int]
    size_px: Series[int] = pa.Field(gt=0)
    mpp: Series[float] = pa.Field(gt=0)
    split: Series[str] = pa.Field(isin=["train", "validation"])
    tumor_ratio: Series[float] = pa.Field(ge=0.0, le=1.0)
    weight: Series[float] = pa.Field(ge=0)
    """By method `nucleus`, the effective number of nuclei behind the ratio."""
    lower: Series[float] = pa.Field(**RATIO)
    upper: Series[float] = pa.Field(**RATIO)
    """The ratio's interval; NaN by methods that give none."""

    class Config(Table.Config):
        """A patch trains or validates once in a fold."""

        unique = ["repeat", "fold", "region_id"]  # noqa: RUF012


class TrainingParts(Table):
    """A part of a training patch: one of n x n squares, with what it teaches."""

    region_id: Series[str]
    row: Series[int] = pa.Field(ge=0)
    column: Series[int] = pa.Field(ge=0)
    tumor_ratio: Series[float] = pa.Field(ge=0.0, le=1.0)
    weight: Series[float] = pa.Field(ge=0)


class TranslationSquares(Table):
    """Where images of both stains are cut: squares to train on, tiles to choose the epoch by."""

    region_id: Series[str] = pa.Field(unique=True)
    slide_id: Series[str]
    tile_id: Series[str]
    kind: Series[str] = pa.Field(isin=["tile", "patch"])
    x_px: Series[int]
    y_px: Series[int]
    size_px: Series[int] = pa.Field(gt=0)
    mpp: Series[float] = pa.Field(gt=0)
    split: Series[str] = pa.Field(isin=["train", "validation"])
    tumor_ratio: Series[float] = pa.Field(**RATIO)
    """Of a training square."""


class TranslationScores(Table):
    """How a test slide's virtual Ki-67 agrees with the H&E slide and with the next section."""

    slide_id: Series[str] = pa.Field(unique=True)
    n_regions: Series[int] = pa.Field(ge=0)
    n_undefined: Series[int] = pa.Field(ge=0)
    """Of these regions: too few nuclei on the translation."""
    n_cells: Series[int] = pa.Field(ge=0)
    spearman: Series[float] = pa.Field(ge=-1, le=1, nullable=True)
    """Of the regions' virtual and measured ratios."""
    ratio_virtual: Series[float] = pa.Field(**RATIO)
    ratio_measured: Series[float] = pa.Field(**RATIO)
    mask_dice: Series[float] = pa.Field(**RATIO)
    """Overlap of positive nuclear area in cells as large as sections agree at."""
    mask_dice_even: Series[float] = pa.Field(**RATIO)
    """Of the measured amount, spread evenly over the nuclei: what knowing no place gives."""
    dab_od_virtual: Series[float] = pa.Field(nullable=True)
    """Mean DAB density of nuclei."""
    dab_od_measured: Series[float] = pa.Field(nullable=True)
    dab_spearman: Series[float] = pa.Field(ge=-1, le=1, nullable=True)
    """Of the cells' amounts of DAB in nuclei."""
    nuclei_he: Series[int] = pa.Field(ge=0)
    nuclei_virtual: Series[int] = pa.Field(ge=0)
    nuclei_recall: Series[float] = pa.Field(**RATIO)
    """Share of the H&E slide's nuclei that are there on its translation."""
    nuclei_precision: Series[float] = pa.Field(**RATIO)
    nuclei_f1: Series[float] = pa.Field(**RATIO)


class LoadSizeScores(Table):
    """A CycleGAN's scores on test tiles by the size of its images."""

    load_size: Series[int] = pa.Field(unique=True, gt=0)
    mpp: Series[float] = pa.Field(gt=0)
    """Micrometres a pixel of what the networks see."""
    seconds: Series[float] = pa.Field(ge=0)
    """Of the training."""
    best_epoch: Series[int] = pa.Field(ge=1)
    val_ratio_error: Series[float] = pa.Field(ge=0)
    val_mae_raw: Series[float] = pa.Field(nullable=True)
    val_spearman: Series[float] = pa.Field(nullable=True)
    val_undefined: Series[float] = pa.Field(**RATIO)
    spearman: Series[float] = pa.Field(nullable=True)
    mae_raw: Series[float] = pa.Field(nullable=True)
    mae_calibrated: Series[float] = pa.Field(nullable=True)
    mae_of_median: Series[float] = pa.Field(nullable=True)
    """Of always answering the validation regions' median."""
    undefined: Series[float] = pa.Field(**RATIO)
    """Share of the test regions without a translated ratio; they are answered with the median."""
    n_regions: Series[int] = pa.Field(ge=0)


class Folds(Table):
    """Which part of a protocol's fold a slide belongs to: one, as `metrics.folds` checks."""

    protocol: Series[str]
    repeat: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)
    slide_id: Series[str]
    case_id: Series[str]
    split: Series[str] = pa.Field(isin=["train", "validation", "test"])


class Predictions(Table):
    """What an approach says of a region, raw and calibrated on validation slides."""

    approach: Series[str]
    protocol: Series[str]
    repeat: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)
    region_id: Series[str]
    reference: Series[str]
    """The quantity the approach learned to estimate, e.g. `ihc_measured`."""
    tumor_ratio: Series[float] = pa.Field(nullable=True)
    tumor_ratio_calibrated: Series[float] = pa.Field(nullable=True)
    lower: Series[float] = pa.Field(nullable=True)
    upper: Series[float] = pa.Field(nullable=True)

    class Config(Table.Config):
        """An approach predicts a region once in a fold."""

        unique = ["approach", "protocol", "repeat", "fold", "region_id"]  # noqa: RUF012


class References(Table):
    """The ratio of a region by each reference: `ihc_measured`, `ihc_true`, `he_true`."""

    region_id: Series[str]
    reference: Series[str] = pa.Field(isin=["ihc_measured", "ihc_true", "he_true"])
    tumor_ratio: Series[float] = pa.Field(**RATIO)
    nuclei_um2: Series[float] = pa.Field(ge=0)
    n_nuclei: Series[int] = pa.Field(ge=0)


class PatchFeatures(Table):
    """What can be said of an H&E patch without any network: colour and nuclei."""

    region_id: Series[str] = pa.Field(unique=True)
    mean_red: Series[float]
    mean_green: Series[float]
    mean_blue: Series[float]
    n_he_nuclei: Series[int] = pa.Field(ge=0)
    he_nuclei_um2: Series[float] = pa.Field(ge=0)


class Scores(Table):
    """One figure of the comparison."""

    approach: Series[str]
    supervision: Series[str]
    protocol: Series[str]
    reference: Series[str]
    unit: Series[str] = pa.Field(isin=["region", "tile", "slide"])
    regions: Series[str] = pa.Field(isin=["selected", "admitted"])
    """`selected`: kept tiles; `admitted`: every region that H&E alone admits."""
    output: Series[str] = pa.Field(isin=["raw", "calibrated"])
    metric: Series[str]
    aggregation: Series[str] = pa.Field(isin=["slide_macro", "pooled"])
    """Mean over slides of a number of each, or one number of all rows, slides weighing the same."""
    value: Series[float] = pa.Field(nullable=True)
    lower: Series[float] = pa.Field(nullable=True)
    upper: Series[float] = pa.Field(nullable=True)
    n_slides: Series[int] = pa.Field(ge=0)
    """Behind this figure, e.g. those with regions in the bin."""
    n_regions: Series[int] = pa.Field(ge=0)
    """Compared, as for every approach."""
    n_cases: Series[int] = pa.Field(ge=0)
    """Compared: what intervals count."""
    n_units: Series[int] = pa.Field(ge=0)
    """Regions (once a repeat), tiles or slides behind this figure; ranks may be of a sample."""
    n_undefined: Series[int] = pa.Field(ge=0)
    """Regions without a prediction (then the figure is NaN); tiles, slides without H&E nuclei."""


class PairedComparisons(Table):
    """Two approaches on the same slides; effect: MAE of a minus MAE of b, below 0: a is better."""

    approach_a: Series[str]
    approach_b: Series[str]
    protocol: Series[str]
    reference: Series[str]
    regions: Series[str] = pa.Field(isin=["selected", "admitted"])
    output: Series[str] = pa.Field(isin=["raw", "calibrated"])
    effect: Series[float] = pa.Field(nullable=True)
    lower: Series[float] = pa.Field(nullable=True)
    upper: Series[float] = pa.Field(nullable=True)
    p_value: Series[float] = pa.Field(**RATIO)
    p_holm: Series[float] = pa.Field(**RATIO)
    """Over the pairs of the same protocol, reference, regions and output."""
    exact: Series[bool]
    """By all sign flips, not by random ones."""
    n_slides: Series[int] = pa.Field(ge=0)
    n_cases: Series[int] = pa.Field(ge=0)
    """What the test flips: slides, or cases where several slides share one."""


class Failures(Table):
    """A slide that a step could not finish."""

    slide_id: Series[str]
    step: Series[str]
    error: Series[str]
    message: Series[str]


class RegionTruths(Table):
    """True ratios of a phantom's regions on both sections; `around`: in a wider square."""

    region_id: Series[str] = pa.Field(unique=True)
    slide_id: Series[str]
    he_true: Series[float] = pa.Field(**RATIO)
    he_n_nuclei: Series[int] = pa.Field(ge=0)
    he_nuclei_um2: Series[float] = pa.Field(ge=0)
    he_true_around: Series[float] = pa.Field(**RATIO)
    he_n_around: Series[int] = pa.Field(ge=0)
    ihc_true: Series[float] = pa.Field(**RATIO)
    ihc_n_nuclei: Series[int] = pa.Field(ge=0)
    ihc_nuclei_um2: Series[float] = pa.Field(ge=0)


class Approaches(Table):
    """What is compared, and whether it could be."""

    approach: Series[str] = pa.Field(unique=True)
    role: Series[str] = pa.Field(isin=["model", "baseline", "ceiling", "auxiliary"])
    """`auxiliary`: serves another figure, is not shown itself."""
    supervision: Series[str]
    scored: Series[bool]
    coverage: Series[float] = pa.Field(**RATIO)
    """Share of the labelled test regions that the approach predicted."""
    reason: Series[str] = pa.Field(nullable=True)
    """Empty for an approach that was scored; a CSV brings empty text back as undefined."""
    n_asked: Series[int] = pa.Field(ge=0)
    """Labelled test regions (once a repeat): those that coverage is a share of."""
    n_missing: Series[int] = pa.Field(ge=0)
    """Of these, the ones without a prediction; a scored approach costs all others these regions."""
    n_missing_alone: Series[int] = pa.Field(ge=0)
    """Of these, the ones that every other scored approach predicted; 0 where it is not scored."""


class ComparedRegions(Table):
    """Test regions that every scored approach predicted, one row an approach and a reference."""

    approach: Series[str]
    protocol: Series[str]
    repeat: Series[int] = pa.Field(ge=0)
    fold: Series[int] = pa.Field(ge=0)
    slide_id: Series[str]
    case_id: Series[str]
    tile_id: Series[str]
    region_id: Series[str]
    reference: Series[str]
    measured: Series[float] = pa.Field(ge=0, le=1)
    measured_um2: Series[float] = pa.Field(ge=0)
    raw: Series[float]
    calibrated: Series[float] = pa.Field(nullable=True)
    he_um2: Series[float] = pa.Field(nullable=True)
    selected: Series[bool]


class LabelComparison(Table):
    """A region's ratio by one method beside the truth; counts are of nuclei, NaN where none are."""

    source: Series[str] = pa.Field(isin=["annotated", "phantom"])
    region_id: Series[str]
    label_method: Series[str]
    tumor_ratio: Series[float] = pa.Field(**RATIO)
    true_ratio: Series[float] = pa.Field(**RATIO)
    n_positive: Series[float] = pa.Field(nullable=True)
    n_negative: Series[float] = pa.Field(nullable=True)
    true_positive: Series[float] = pa.Field(nullable=True)
    true_negative: Series[float] = pa.Field(nullable=True)
    seconds_per_mpx: Series[float] = pa.Field(ge=0)


class LabelMethods(Table):
    """How far a method's ratios are from the truth, by source."""

    source: Series[str]
    label_method: Series[str]
    evidence: Series[str]
    n_regions: Series[int] = pa.Field(ge=0)
    n_undefined: Series[int] = pa.Field(ge=0)
    mae: Series[float] = pa.Field(nullable=True)
    bias: Series[float] = pa.Field(nullable=True)
    largest_error: Series[float] = pa.Field(nullable=True)
    positives_found: Series[float] = pa.Field(nullable=True)
    """Found over true, pooled over the regions."""
    negatives_found: Series[float] = pa.Field(nullable=True)
    seconds_per_mpx: Series[float] = pa.Field(ge=0)


class StressRegions(Table):
    """What the label and each approach say of a region of a slide, stressed or not."""

    family: Series[str]
    stress: Series[str]
    """The factor; "none" for the slide without one."""
    slide_id: Series[str]
    region_id: Series[str]
    """Equal for a slide and its stressed twin."""
    approach: Series[str]
    """`label` is the ratio measured on the IHC section."""
    reference: Series[str] = pa.Field(isin=["ihc_true", "he_true"])
    true_ratio: Series[float] = pa.Field(**RATIO)
    """NaN where the section shows too few nuclei."""
    tumor_ratio: Series[float] = pa.Field(nullable=True)
    reason: Series[str]
    """Why the label is undefined on the whole slide; empty where it is not."""

    class Config(Table.Config):
        """An approach says one thing of a region."""

        unique = ["approach", "region_id"]  # noqa: RUF012


class StressScores(Table):
    """Error of the label and of each approach with one factor, beside the error without it."""

    family: Series[str]
    stress: Series[str]
    strength: Series[float] = pa.Field(ge=0)
    """0 without stress."""
    approach: Series[str]
    reference: Series[str] = pa.Field(isin=["ihc_true", "he_true"])
    mae: Series[float] = pa.Field(nullable=True)
    mae_lower: Series[float] = pa.Field(nullable=True)
    mae_upper: Series[float] = pa.Field(nullable=True)
    mae_without: Series[float] = pa.Field(nullable=True)
    """Of the same regions of the same slides without the factor; NaN without stress."""
    change: Series[float] = pa.Field(nullable=True)
    change_lower: Series[float] = pa.Field(nullable=True)
    change_upper: Series[float] = pa.Field(nullable=True)
    n_slides: Series[int] = pa.Field(ge=0)
    n_regions: Series[int] = pa.Field(ge=0)
    n_undefined: Series[int] = pa.Field(ge=0)
    """Regions with a truth of which the approach says nothing."""
    n_lost: Series[int] = pa.Field(ge=0)
    """Regions whose truth the factor made undefined: too few nuclei are left."""

    class Config(Table.Config):
        """One row an approach and condition."""

        unique = ["family", "stress", "approach"]  # noqa: RUF012


class StressRankings(Table):
    """The order of the approaches in a condition, and how it agrees with that without stress."""

    family: Series[str]
    stress: Series[str]
    n_approaches: Series[int] = pa.Field(ge=0)
    ranking: Series[str]
    """Approaches from the smallest MAE to the largest."""
    kendall_tau: Series[float] = pa.Field(ge=-1, le=1, nullable=True)
    """Of the approaches' MAEs here and in the base condition; NaN with fewer than two."""
    same_order: Series[bool]

    class Config(Table.Config):
        """One row a condition."""

        unique = ["family", "stress"]  # noqa: RUF012
