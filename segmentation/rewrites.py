"""Exact rewrites for inference, above all of SegFormer: the same function of the same weights in less time and memory.

They change the order of floating-point sums and nothing else; what a model gives differs by about 1e-6 in probability.
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
    from mmcv.cnn import fuse_conv_bn
    from mmcv.cnn.bricks.transformer import MultiheadAttention
    from mmseg.models.decode_heads import SegformerHead

    # In evaluation, batch normalisation is a scale and an offset, which the convolution before it can take over.
    fuse_conv_bn(model)
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
    the sum of the upsampled results is the same. Upsampling is a matrix on either axis: one product stretches the
    columns of each map, and one more the rows of all three coarser maps, which it adds to the finest on the way.

    Args:
        head: of the model, in evaluation mode.
        features: of the backbone, four maps (n, channels, h / s, w / s) with strides s of 4, 8, 16 and 32.

    Returns:
        (n, classes, h / 4, w / 4) logits.
    """
    import torch
    from torch.nn.functional import conv2d

    features = head._transform_inputs(features)
    fusion = head.fusion_conv
    slices = fusion.conv.weight.split([conv.out_channels for conv in head.convs], dim=1)
    maps = [
        conv2d(conv(feature), weight, bias).permute(0, 2, 3, 1)
        for feature, conv, weight, bias in zip(
            features, head.convs, slices, [fusion.conv.bias] + 3 * [None], strict=True
        )
    ]
    finest, *coarser = maps
    n, height, width, channels = finest.shape
    stretched = torch.cat([_stretch(head, part.shape[2], width, part) @ part for part in coarser], dim=1)
    rows = torch.cat([_stretch(head, part.shape[1], height, part) for part in coarser], dim=1)
    fused = finest.flatten(2).baddbmm_(rows.expand(n, -1, -1), stretched.flatten(2))
    fused = fused.view(n, height, width, channels).permute(0, 3, 1, 2)
    return head.cls_seg(fusion.activate(fusion.norm(fused)))


def _stretch(head: SegformerHead, length: int, target: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix (target, length) that interpolates along one axis as the head does."""
    import torch
    from mmseg.models.utils import resize

    unit = torch.eye(length, device=like.device)[None, None]
    matrix = resize(unit, size=(target, length), mode=head.interpolate_mode, align_corners=head.align_corners)
    return matrix[0, 0].to(like.dtype)
