"""Exact rewrites of SegFormer for inference: the same function of the same weights, in less time and memory.

Both change the order of floating-point sums and nothing else; what a model gives differs by about 1e-6 in probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from mmseg.models import BaseSegmentor
    from mmseg.models.decode_heads import SegformerHead


def speed_up(model: BaseSegmentor) -> BaseSegmentor:
    """Apply, in place, the rewrites that fit a model's parts; other parts stay as they are."""
    from mmcv.cnn.bricks.transformer import MultiheadAttention
    from mmseg.models.decode_heads import SegformerHead

    for module in model.modules():
        if isinstance(module, MultiheadAttention):
            module.attn.register_forward_pre_hook(_without_weights, with_kwargs=True)
    if type(model.decode_head) is SegformerHead:
        model.decode_head.forward = partial(_fuse_before_upsampling, model.decode_head)
    return model


def _without_weights(_: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Ask torch's attention not to return its weights, which MMSegmentation throws away: only then it can be fused."""
    return args, kwargs | {"need_weights": False}


def _fuse_before_upsampling(head: SegformerHead, features: Sequence[torch.Tensor]) -> torch.Tensor:
    """SegFormer's head (Xie et al. 2021, section 3.2) with its fusion moved in front of the upsampling.

    The head upsamples four feature maps to the finest, stacks them and fuses them by a 1 x 1 convolution. Both are
    linear and act on different axes, so that each map can go through its slice of the convolution at its own size, and
    the sum of the upsampled results is the same.

    Args:
        head: of the model, in evaluation mode.
        features: of the backbone, four maps (n, channels, h / s, w / s) with strides s of 4, 8, 16 and 32.

    Returns:
        (n, classes, h / 4, w / 4) logits.
    """
    from mmseg.models.utils import resize
    from torch.nn.functional import conv2d

    features = head._transform_inputs(features)
    fusion = head.fusion_conv
    slices = fusion.conv.weight.split([conv.out_channels for conv in head.convs], dim=1)
    size = features[0].shape[2:]
    fused = None
    for feature, conv, weight in zip(features, head.convs, slices, strict=True):
        part = resize(
            conv2d(conv(feature), weight),
            size=size,
            mode=head.interpolate_mode,
            align_corners=head.align_corners,
        )
        fused = part if fused is None else fused + part
    if fusion.conv.bias is not None:
        fused = fused + fusion.conv.bias[:, None, None]
    return head.cls_seg(fusion.activate(fusion.norm(fused)))
