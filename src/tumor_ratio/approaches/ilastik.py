"""Pixel classification as biologists know it: forests on pixels of both stains."""

from tumor_ratio.approaches.contract import ApproachSpec

NAME = "ilastik"
PIXEL_FOREST = "pixel_forest"

_PIPELINE = "tumor_ratio.pipelines.baseline_ilastik"

SPEC = ApproachSpec(
    kind="ilastik",
    names=(NAME,),
    pipeline="baseline_ilastik",
    create_pipeline=f"{_PIPELINE}:create_pipeline",
    parameters=f"{_PIPELINE}.params:IlastikParams",
    open_model="tumor_ratio.inference.approaches.forest_model:load_forest_model",
    learned_from="labelled pixels, mapped to region ratios",
    check=f"{_PIPELINE}.projects:check_ilastik",
    answers=PIXEL_FOREST,
    default=(NAME,),
)
