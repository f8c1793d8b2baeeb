"""The weights that a training starts from."""

from __future__ import annotations

from torch import nn

from tumor_ratio.models.cyclegan.options import InitName


def initialise(network: nn.Module, init_type: InitName, init_gain: float) -> nn.Module:
    """Draw all weights anew from torch's global generator, biases 0; gives the network back.

    Weights of batch norms are drawn around 1.

    Parameters
    ----------
    init_type : `normal` (deviation `init_gain`), `xavier` (Glorot and Bengio 2010), `kaiming` (He
        et al. 2015), `orthogonal` (Saxe et al. 2014).
    """
    draw = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, init_gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, gain=init_gain),
        "kaiming": nn.init.kaiming_normal_,
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain=init_gain),
    }[init_type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            draw(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, init_gain)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
