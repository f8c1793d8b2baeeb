"""Networks that learn the ratio from H&E patches, and what their approaches' names promise."""

from __future__ import annotations

from tumor_ratio.approaches.contract import ApproachSpec
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions, HeadOptions

DEFAULT = ("resnet18", "efficientnet_lite0", "lite0_vit")
"""What a plain `kedro run` trains, unless the configuration's `approaches` says otherwise. Any name
will do whose configuration block names a backbone."""

DESCRIBED = (*DEFAULT, "levit_128s", "resnet18_bins", "resnet18_study", "vit_b16_study")
"""Approaches that conf/base describes; a run need not train them all."""

STARTING_WEIGHTS = "resnet18"
"""The approach whose model ships with the package for others to start from."""

_PIPELINE = "tumor_ratio.pipelines.regression"

SPEC = ApproachSpec(
    kind="network",
    names=DESCRIBED,
    pipeline="regression",
    create_pipeline=f"{_PIPELINE}:create_pipeline",
    parameters=f"{_PIPELINE}.params:RegressionParams",
    open_model="tumor_ratio.inference.slide_model:open_network",
    learned_from="region ratios measured on the neighbouring Ki-67 section",
    default=DEFAULT,
    others=True,
    flips=True,
    slide_models="{approach}",
)

BACKBONES = {
    "resnet18": "resnet18",
    "resnet18_bins": "resnet18",
    "resnet50": "resnet50",
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "lite0_vit": "tf_efficientnet_lite0",
    "levit_128s": "levit_128s",
    "vit_b16": "vit_base_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_tiny": "vit_tiny_patch16_224",
}
"""Approaches with a name of their own, and timm's name of the backbone that the name promises."""

BIN_APPROACHES = ("resnet18_bins",)
"""Those whose name promises a classifier of bins (`head.bins`) as well."""

TOKEN_APPROACHES = ("lite0_vit",)
"""Those whose name promises a transformer on the backbone's map (`backbone.pooling`) as well."""


def backbone_name(approach: str, options: BackboneOptions) -> str:
    """Name, in timm, of an approach's backbone.

    Raises
    ------
    ConfigurationError
        If the approach's name promises another backbone than the configured one, or an approach
        with a free name does not say its backbone.
    """
    promised = BACKBONES.get(approach)
    if promised is None and not options.name:
        raise ConfigurationError(
            f"approach '{approach}' does not say its backbone",
            f"set `{approach}.backbone.name` to one of timm's names, or use one of the approaches "
            f"{', '.join(BACKBONES)}",
        )
    if promised is not None and options.name not in ("", promised):
        raise ConfigurationError(
            f"approach '{approach}' means the backbone '{promised}', not '{options.name}'",
            "leave `backbone.name` empty, or give the approach a name of its own",
        )
    return options.name or str(promised)


def architecture_of(
    approach: str, backbone: BackboneOptions, head: HeadOptions, patch_px: int
) -> Architecture:
    """The network that an approach's options describe, for patches of `patch_px` pixels.

    Raises
    ------
    ConfigurationError
        See `backbone_name`; or if the approach's name promises bins or a transformer and there is
        none.
    """
    if approach in BIN_APPROACHES and not head.bins:
        raise ConfigurationError(
            f"approach '{approach}' means a classifier of bins, and has none",
            f"set `{approach}.head.bins`, for instance to [0.2, 0.5]",
        )
    if approach in TOKEN_APPROACHES and backbone.pooling.name != "transformer":
        raise ConfigurationError(
            f"approach '{approach}' means a transformer on its backbone's map, and has none",
            f"set `{approach}.backbone.pooling` to {{name: transformer, strides: [16]}}",
        )
    return Architecture(
        backbone=backbone_name(approach, backbone),
        patch_px=patch_px,
        hidden=head.hidden,
        activation=head.activation,
        dropout=head.dropout,
        bounded=head.bounded,
        bins=tuple(head.bins),
        pooling=backbone.pooling,
        arguments=backbone.arguments,
    )
