"""Exact rewrites for inference, above all of SegFormer: the same function of the same weights in less time and memory.

They change the order of floating-point sums and nothing else; what a model gives differs by about 1e-6 in probability.
A rewrite is applied where the code of the parts concerned shows that it is exact. Whether it is, for a model that may
use its parts in ways of its own, is checked by ``segmentor.Segmentor`` on the first chips.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from mmcv.cnn import ConvModule
    from mmseg.models import BaseSegmentor
    from mmseg.models.decode_heads import SegformerHead


def speed_up(model: BaseSegmentor) -> BaseSegmentor | None:
    """A copy of a model, in evaluation mode, with the rewrites that fit its parts; None where none fits.

    The model stays as it is. The copy shares the weights that no rewrite changes.
    """
    from mmcv.cnn.bricks.transformer import MultiheadAttention
    from mmseg.models.decode_heads import SegformerHead

    shared = [model.cfg, *model.parameters(), *model.buffers()]
    rewritten = copy.deepcopy(model, memo={id(part): part for part in shared})
    changes = fold_batch_norms(rewritten)
    for module in rewritten.modules():
        if isinstance(module, MultiheadAttention):
            module.attn.register_forward_pre_hook(_without_weights, with_kwargs=True)
            changes += 1
    if type(rewritten.decode_head) is SegformerHead:
        rewritten.decode_head.forward = partial(_fuse_before_upsampling, rewritten.decode_head)
        changes += 1
    return rewritten if changes else None


def fold_batch_norms(model: torch.nn.Module) -> int:
    """Let convolutions take over the batch normalisation behind them: in evaluation it is a scale and an offset.

    That a normalisation works on what a convolution gives, and nothing else does, shows in the code of MMCV's
    ``ConvModule`` alone. In other modules, the order in which layers are defined says nothing about their use.

    Args:
        model: in evaluation mode; changed in place.

    Returns:
        How many were folded.
    """
    from mmcv.cnn import ConvModule
    from torch.nn import Identity
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = 0
    for module in model.modules():
        # A subclass may use its parts in another way.
        if type(module) is not ConvModule or not _norm_follows_conv(module):
            continue
        # A convolution of its own: another module may use the old one with another normalisation.
        module.conv = fuse_conv_bn_eval(module.conv, module.norm)
        setattr(module, module.norm_name, Identity())
        folded += 1
    return folded


def _norm_follows_conv(module: ConvModule) -> bool:
    """Whether a batch normalisation with known statistics works on the result of a plain convolution."""
    from torch.nn import BatchNorm2d, Conv2d, SyncBatchNorm

    if not module.with_norm or module.order.index("norm") != module.order.index("conv") + 1:
        return False
    conv, norm = module.conv, module.norm
    return (
        type(conv) is Conv2d
        # By their forward: MMEngine's own SyncBN is a subclass that changes nothing of it.
        and type(norm).forward in (BatchNorm2d.forward, SyncBatchNorm.forward)
        and norm.running_mean is not None
        and not (conv.training or norm.training)
        and module.efficient_conv_bn_eval_forward is None
        and not (_has_hooks(conv) or _has_hooks(norm))
    )


def _has_hooks(module: torch.nn.Module) -> bool:
    """Whether something else happens around a module's forward, such as spectral normalisation of its weights."""
    from torch.nn.utils.parametrize import is_parametrized

    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or is_parametrized(module) or "forward" in vars(module)


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
