"""Real MMSegmentation models: with random weights, or trained for some seconds to find bright blobs."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from segmentation.core.workspace import REPOSITORY
from segmentation.predict.runs import ModelRun

DEMO = REPOSITORY / "configs" / "segformer_demo_mining-512x512.py"
# Every part of the demo's SegFormer once: as quick as can be.
SMALL = {
    "model__backbone__embed_dims": 16,
    "model__backbone__num_layers": [1, 1, 1, 1],
    "model__decode_head__in_channels": [16, 32, 80, 128],
    "model__decode_head__channels": 32,
}


def without_head(changes: dict) -> dict:
    """Those settings that do not concern the head, for models with several."""
    return {name: value for name, value in changes.items() if "decode_head" not in name}


def untrained(folder: Path, config: Path = DEMO, **changes) -> ModelRun:
    """A small model with some settings changed (names with ``__`` for dots), and a checkpoint of random weights.

    The last layer is scaled so that the model is sure of mines here and of background there.
    """
    import torch
    from mmengine.config import Config
    from mmseg.apis import init_model

    settings = Config.fromfile(config)
    small = SMALL if not isinstance(changes.get("model__decode_head"), list) else without_head(SMALL)
    settings.merge_from_dict({name.replace("__", "."): value for name, value in (small | changes).items()})
    path = folder / "model.py"
    settings.dump(path)
    torch.manual_seed(7)
    model = init_model(settings, device="cpu")
    for name, values in [*model.named_parameters(), *model.named_buffers()]:
        if values.dim() > 1:
            torch.nn.init.normal_(values.data, std=0.1)
        elif name.endswith("running_var"):
            values.uniform_(0.5, 2)
    heads = model.decode_head
    last = (heads[-1] if isinstance(heads, torch.nn.ModuleList) else heads).conv_seg
    with torch.no_grad():
        logits = model.eval()._forward(torch.randn(2, 3, 256, 256))
        sureness = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)
        last.weight *= 3 / sureness.std()
        last.bias[-1] -= sureness.mean() * 3 / sureness.std()
    meta = {"dataset_meta": {"classes": ("background", "mine"), "palette": [[0, 0, 0], [1, 1, 1]]}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, folder / "iter_1.pth")
    return ModelRun(path, folder / "iter_1.pth", 1)


def picture(rng: np.random.Generator, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright blobs on dark ground under noise: (3, side, side) uint8 and where the blobs are, (side, side) bool."""
    field = ndimage.gaussian_filter(rng.standard_normal((side_px, side_px)), 6, mode="wrap")
    blobs = field > np.quantile(field, 0.8)
    dn = np.where(blobs, 150, 80) + rng.normal(0, 15, (3, side_px, side_px))
    return dn.clip(1, 255).astype("uint8"), blobs


def trained(folder: Path, iterations: int = 30) -> ModelRun:
    """The small model of ``untrained``, after it has learned to find the blobs of ``picture``.

    Its probabilities are near 0 and 1 but for the blobs' edges, and rounding changes them little: what a network of
    random weights amplifies, a trained one damps.
    """
    import torch
    from mmengine.config import Config
    from mmseg.apis import init_model

    settings = Config.fromfile(DEMO)
    settings.merge_from_dict({name.replace("__", "."): value for name, value in SMALL.items()})
    path = folder / "model.py"
    settings.dump(path)
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    model = init_model(settings, device="cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(iterations):
        images, truths = zip(*(picture(rng, 128) for _ in range(4)), strict=True)
        inputs = model.data_preprocessor({"inputs": [torch.from_numpy(image) for image in images]}, False)["inputs"]
        logits = torch.nn.functional.interpolate(model._forward(inputs), size=128, mode="bilinear")
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(np.stack(truths)).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "iter_1.pth")
    return ModelRun(path, folder / "iter_1.pth", 1)
