"""Unpaired translation between stains: CycleGAN (Zhu et al. 2017)."""
