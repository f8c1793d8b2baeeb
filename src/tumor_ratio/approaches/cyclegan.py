"""Virtual Ki-67 from H&E: a CycleGAN translates, nuclei are measured on the translation."""

from tumor_ratio.approaches.contract import ApproachSpec

NAME = "cyclegan"
VIRTUAL_STAIN = "virtual_stain"

_PIPELINE = "tumor_ratio.pipelines.gan_translation"

SPEC = ApproachSpec(
    kind="cyclegan",
    names=(NAME,),
    pipeline="gan_translation",
    create_pipeline=f"{_PIPELINE}:create_pipeline",
    parameters=f"{_PIPELINE}.params:CycleGanParams",
    open_model="tumor_ratio.inference.approaches.virtual_stain_model:load_virtual_stain_model",
    learned_from="unpaired squares of both stains",
    check=f"{_PIPELINE}.given_files:check_given_files",
    answers=VIRTUAL_STAIN,
    default=(NAME,),
)
