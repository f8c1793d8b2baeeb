"""What the package says of itself."""

from tumor_ratio.approaches.contract import ApproachSpec

SPEC = ApproachSpec(
    kind="ridge",
    names=("colour_ridge",),
    pipeline="ridge",
    create_pipeline="ridge_ratio.pipeline:create_pipeline",
    parameters="ridge_ratio.pipeline:RidgeParams",
    open_model="ridge_ratio.model:open_ridge",
    learned_from="mean colours of patches and region ratios of the neighbouring section",
    check="ridge_ratio.pipeline:check",
    answers="ridge",
)
