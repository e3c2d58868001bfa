"""Batch normalisation folded into convolutions: where it provably belongs to them, and nowhere else."""

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from segmentation.predict.rewrites import fold_batch_norms

BN = {"type": "BN"}


class PairedByChance(nn.Module):
    """Defines a convolution right before a normalisation that works on something else, as DMNet does."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv2d(8, 8, 1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(x) + self.filters(x).mean((2, 3), keepdim=True)


class OwnUse(ConvModule):
    """Normalises before it convolves, whatever its order says."""

    def forward(self, x):
        return self.conv(self.norm(x))


def shared_conv() -> nn.Module:
    """Two modules with one convolution and a normalisation each."""
    one, other = ConvModule(8, 8, 3, padding=1, norm_cfg=BN), ConvModule(8, 8, 3, padding=1, norm_cfg=BN)
    other.conv = one.conv
    return nn.Sequential(one, other)


def twice() -> nn.Module:
    """One module in two places."""
    module = ConvModule(8, 8, 3, padding=1, norm_cfg=BN)
    return nn.Sequential(module, nn.ReLU(), module)


FOLDED = {
    "plain": lambda: ConvModule(8, 8, 3, padding=1, norm_cfg=BN),
    "with bias": lambda: ConvModule(8, 8, 3, bias=True, norm_cfg=BN, act_cfg=None),
    "depthwise": lambda: ConvModule(8, 8, 3, groups=8, norm_cfg=BN),
    "reflecting": lambda: ConvModule(8, 8, 3, padding=1, padding_mode="reflect", norm_cfg=BN),
    "no affine": lambda: ConvModule(8, 8, 3, norm_cfg=BN | {"affine": False}),
    "synchronised": lambda: ConvModule(8, 8, 3, norm_cfg={"type": "SyncBN"}),
    "activation first": lambda: ConvModule(8, 8, 3, norm_cfg=BN, order=("act", "conv", "norm")),
}
LEFT_ALONE = {
    "norm first": lambda: ConvModule(8, 8, 3, norm_cfg=BN, order=("norm", "act", "conv")),
    "activation between": lambda: ConvModule(8, 8, 3, norm_cfg=BN, order=("conv", "act", "norm")),
    "transposed": lambda: ConvModule(8, 8, 3, conv_cfg={"type": "deconv"}, norm_cfg=BN),
    "group norm": lambda: ConvModule(8, 8, 3, norm_cfg={"type": "GN", "num_groups": 2}),
    "statistics of the batch": lambda: ConvModule(8, 8, 3, norm_cfg=BN | {"track_running_stats": False}),
    "spectral norm": lambda: ConvModule(8, 8, 3, norm_cfg=BN, with_spectral_norm=True),
    "no norm": lambda: ConvModule(8, 8, 3),
    "own use": lambda: OwnUse(8, 8, 3, norm_cfg=BN),
    "paired by chance": PairedByChance,
}


def in_use(make) -> nn.Module:
    """A module in evaluation mode, after some batches."""
    torch.manual_seed(1)
    module = make()
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            if layer.running_var is not None:
                layer.running_var.uniform_(0.5, 2)
                layer.running_mean.normal_()
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.normal_(layer.bias)
    return module.eval()


def check(module: nn.Module, folds: int) -> None:
    image = torch.randn(2, 8, 12, 12)
    with torch.no_grad():
        before = module(image)
        assert fold_batch_norms(module) == folds
        torch.testing.assert_close(module(image), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", FOLDED.values(), ids=FOLDED)
def test_what_belongs_together_is_folded_and_gives_the_same(make):
    check(in_use(make), folds=1)


@pytest.mark.parametrize("make", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_may_not_belong_together_stays_as_it_is(make):
    check(in_use(make), folds=0)


def test_a_convolution_with_two_normalisations_keeps_them_apart():
    check(in_use(shared_conv), folds=2)


def test_a_module_in_two_places_is_folded_once():
    check(in_use(twice), folds=1)
