"""Inference: the same as MMSegmentation's own, whatever the batch, the device or the kind of model."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.apis import inference_model, init_model
from models import picture, untrained

from segmentation.chips import write_chip
from segmentation.devices import Inference, predict_chips
from segmentation.errors import PipelineError
from segmentation.grid import Grid
from segmentation.predictor import Predictor

FCN = {
    "model__decode_head": {
        "_delete_": True,
        "type": "FCNHead",
        "in_channels": 128,
        "in_index": 3,
        "channels": 16,
        "num_convs": 1,
        "num_classes": 2,
        "norm_cfg": {"type": "BN"},
    }
}
MODELS = {
    "whole": {},
    "slide": {"model__test_cfg": {"_delete_": True, "mode": "slide", "crop_size": (384, 384), "stride": (300, 300)}},
    "one logit": {
        "model__decode_head__out_channels": 1,
        "model__decode_head__loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True},
    },
    "resized": {
        "test_pipeline": [
            {"type": "LoadImageFromFile", "imdecode_backend": "pillow"},
            {"type": "Resize", "scale": (384, 384)},
            {"type": "PackSegInputs"},
        ]
    },
    "padded": {"model__data_preprocessor__test_cfg": {"size_divisor": 192}},
    "another head": FCN,
}


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """Three chips of noise, of different brightness, one partly without data."""
    folder, rng = tmp_path_factory.mktemp("chips"), np.random.default_rng(3)
    paths = []
    for number, brightest in enumerate((80, 160, 255)):
        dn = rng.integers(1, brightest, (4, 512, 512)).astype("uint8")
        dn[:, :, : 50 * (number == 1)] = 0
        paths.append(folder / f"{number}.tif")
        write_chip(paths[-1], dn, Grid().window_transform(0, 0), {})
    return paths


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A chip as the trained model knows them, in a list, and where its blobs are, (1, 512, 512) bool."""
    path = tmp_path_factory.mktemp("blobs") / "blobs.tif"
    dn, mask = picture(np.random.default_rng(3), 512)
    write_chip(path, dn, Grid().window_transform(0, 0), {})
    return [path], mask[None]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def levels(plain, chips):
    return [found for _, found in Predictor(plain, "cpu").predict(chips, 2, 1)]


def one_by_one(run, chips):
    """MMSegmentation's own inference, chip by chip, as probabilities."""
    model = init_model(str(run.config), str(run.checkpoint), device="cpu")
    found = [inference_model(model, str(chip)).seg_logits.data for chip in chips]
    return np.stack([(logits.softmax(0)[1] if len(logits) == 2 else logits[0]).numpy() for logits in found])


def all_at_once(predictor, chips):
    batch = pseudo_collate([predictor._pipeline({"img_path": str(chip)}) for chip in chips])
    return predictor.probability(batch["inputs"], batch["data_samples"]).numpy()


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_probabilities_are_those_of_mmsegmentation(tmp_path, chips, changes):
    run = untrained(tmp_path, **changes)
    expected = one_by_one(run, chips[:2])
    found = all_at_once(Predictor(run, "cpu"), chips[:2])
    assert found.shape == (2, 512, 512)
    assert expected.std() > 0.05, "the model says the same everywhere: nothing is compared"
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_study_s_head_is_rewritten_and_says_the_same(plain, chips):
    predictor = Predictor(plain, "cpu")
    ran = []
    for conv in predictor._model.decode_head.convs:
        conv.register_forward_hook(lambda *parts: ran.append(parts[2].shape[2:]))
    fused = predictor._model.decode_head.fusion_conv
    fused.register_forward_hook(lambda *_: pytest.fail("the fusion ran at full size"))
    np.testing.assert_allclose(all_at_once(predictor, chips[:1]), one_by_one(plain, chips[:1]), atol=1e-4)
    assert [tuple(size) for size in ran] == [(128, 128), (64, 64), (32, 32), (16, 16)]


@dataclass(frozen=True)
class Seen:
    """What a predictor said of chips, and on the way: arrays (n, 512, 512)."""

    probability: np.ndarray
    sureness: np.ndarray
    types: dict[str, torch.dtype]
    types_of_weights: set[torch.dtype]


def sureness(logits):
    """How much more a mine than background: the difference of two logits, in double precision."""
    return (logits[:, 1].double() - logits[:, 0].double()).numpy()


def seen(run, precision, chips):
    predictor = Predictor(run, "cpu", precision)
    model, types, logits = predictor._model, {}, []
    model.backbone.register_forward_pre_hook(lambda _, given: types.update(pixels=given[0].dtype))
    model.decode_head.conv_seg.register_forward_hook(lambda *parts: types.update(logits=parts[2].dtype))
    inference = model.inference
    model.inference = lambda *arguments: logits.append(inference(*arguments)) or logits[-1]
    probability = all_at_once(predictor, chips)
    return Seen(probability, sureness(logits[0]), types, {weights.dtype for weights in model.parameters()})


@pytest.fixture(scope="module")
def exact(trained_model, blobs):
    return seen(trained_model, "fp32", blobs[0])


@pytest.fixture(scope="module")
def rounded(trained_model, blobs):
    return seen(trained_model, "bf16", blobs[0])


def test_bf16_agrees_but_for_pixels_on_the_edge(exact, rounded, blobs):
    _, truth = blobs
    assert ((exact.probability >= 0.5) == truth).mean() > 0.95, "the model has learned nothing"
    assert np.abs(rounded.probability - exact.probability).mean() < 0.01
    clear = np.abs(exact.probability - 0.5) > 0.05
    assert clear.any()
    assert ((rounded.probability >= 0.5) == (exact.probability >= 0.5))[clear].mean() > 0.999


def test_bf16_is_neither_biased_nor_coarser_than_mmsegmentation_in_bf16(trained_model, blobs, exact, rounded):
    """Rounding scatters around what is exact and averages out in a slope; a wrong scale does not."""
    spread = exact.sureness.std()
    slope, offset = np.polyfit(exact.sureness.ravel(), rounded.sureness.ravel(), 1)
    assert slope == pytest.approx(1, abs=0.01)
    assert offset == pytest.approx(0, abs=0.01 * spread)

    # How coarsely this processor rounds shows in MMSegmentation's own inference on it: ours may stray no farther.
    model = init_model(str(trained_model.config), str(trained_model.checkpoint), device="cpu")
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.stack([inference_model(model, str(chip)).seg_logits.data for chip in blobs[0]])
    usual, ours = (np.sqrt(np.mean((one - exact.sureness) ** 2)) for one in (sureness(logits), rounded.sureness))
    assert 0 < usual < 0.1 * spread
    assert ours < 1.5 * usual


def test_bf16_is_for_convolutions_and_products_alone(rounded):
    """Pixels are normalised, weights kept and the softmax computed in float32."""
    assert rounded.types == {"pixels": torch.float32, "logits": torch.bfloat16}
    assert rounded.types_of_weights == {torch.float32}
    np.testing.assert_allclose(rounded.probability, 1 / (1 + np.exp(-rounded.sureness)), atol=1e-6)


def test_levels_are_probabilities_in_steps(plain, chips, levels):
    exact = all_at_once(Predictor(plain, "cpu"), chips)
    assert np.abs(np.stack(levels) / 250 - exact).max() <= 0.5 / 250 + 1e-5


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 0), (None, 1), (None, 2), (2, 64)])
def test_neither_the_size_of_batches_nor_their_number_changes_anything(plain, chips, levels, batch_size, workers):
    cores = torch.get_num_threads()
    found = list(Predictor(plain, "cpu").predict(chips, batch_size, workers))
    assert torch.get_num_threads() == cores
    assert [position for position, _ in found] == [0, 1, 2]
    assert max(np.abs(one.astype(int) - other).max() for (_, one), other in zip(found, levels, strict=True)) <= 1


def short_of_memory(predictor, most):
    """Let a model run out of memory, as a GPU does, with more than so many chips at a time."""
    sizes = []

    def check(_, arguments):
        sizes.append(len(arguments[0]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    predictor._model.backbone.register_forward_pre_hook(check)
    return sizes


def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(plain, chips, levels):
    predictor = Predictor(plain, "cpu")
    sizes = short_of_memory(predictor, most=1)
    found = list(predictor.predict([*chips, *chips[:1]], 3, 1))
    assert sizes == [3, 1, 1, 1, 1]
    for (_, one), other in zip(found, [*levels, levels[0]], strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_chip_that_does_not_fit_alone_is_told(plain, chips):
    predictor = Predictor(plain, "cpu")
    short_of_memory(predictor, most=0)
    with pytest.raises(PipelineError, match="one chip alone does not fit into the memory of cpu"):
        list(predictor.predict(chips, 2, 1))


def test_several_devices_share_the_chips(plain, chips, levels):
    found = dict(predict_chips(chips, plain, Inference(("cpu", "cpu"), workers=1)))
    assert sorted(found) == [0, 1, 2]
    for position, expected in enumerate(levels):
        assert np.abs(found[position].astype(int) - expected).max() <= 1


def test_what_goes_wrong_on_one_of_several_devices_is_told(plain, chips):
    with pytest.raises(PipelineError, match=r"on cuda:7[78]"):
        list(predict_chips(chips, plain, Inference(("cuda:77", "cuda:78"), workers=1)))


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("cpu", "fp16", "fp16 is for GPUs"), ("cuda:77", "auto", "cannot load .* on cuda:77")],
)
def test_a_device_or_precision_that_is_not_there_is_told(plain, device, precision, message):
    with pytest.raises(PipelineError, match=message):
        Predictor(plain, device, precision)


def test_weights_of_another_model_are_refused(plain, tmp_path):
    other = untrained(tmp_path, **FCN)
    with pytest.raises(PipelineError, match="cannot load .*iter_1.pth"):
        Predictor(type(plain)(plain.config, other.checkpoint, 1), "cpu")
