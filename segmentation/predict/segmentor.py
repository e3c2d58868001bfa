"""A trained segmentor on one device: batches of pixels in, probabilities of mine out.

It runs in a faster form, whose probabilities are compared with those of the plain model on the first chips.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segmentation.core.errors import PipelineError
from segmentation.predict.loading import first_not_finite, load_model, read_config, reading_pipeline
from segmentation.predict.precision import AUTO, BF16, FP16, FP32, choose_precision, exact_products
from segmentation.predict.rewrites import speed_up
from segmentation.predict.runs import ModelRun

if TYPE_CHECKING:
    import torch
    from mmseg.models import BaseSegmentor
    from mmseg.structures import SegDataSample

# Of the first batch, chips on which the rewritten model is compared with the plain one, and how much they may differ.
_COMPARED = 4
TOLERANCE = 1e-4
# Of the random numbers that some models draw for every chip (SegNeXt).
SEED = 0

_log = logging.getLogger(__name__)


class Segmentor:
    """A model of two classes with its trained weights.

    Any MMSegmentation model whose result is logits: two (background, mine) or one, in ``whole`` or ``slide`` test
    mode. What it gives equals ``mmseg.apis.inference_model`` chip by chip: to 1e-4 in ``fp32``; ``bf16`` and ``fp16``
    round more coarsely. A model that draws random numbers draws the same for every chip, those after
    ``torch.manual_seed(SEED)``.

    Attributes:
        device: as torch names it.
        precision: one of ``precision.PRECISIONS`` but ``auto``.
        pipeline: reads a chip for this model, as the config's test pipeline says.

    Args:
        run: config and checkpoint.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: one of ``precision.PRECISIONS``; see ``precision.choose_precision``.
        compiled: compile the model with ``torch.compile``, for one size of batch: about a minute once, for long runs.

    Raises:
        PipelineError: config and checkpoint do not fit, or the device or its precision is not there.
    """

    def __init__(self, run: ModelRun, device: str, precision: str = AUTO, *, compiled: bool = False):
        import torch

        self._run = run
        self.device = device
        _require_device(device, run)
        self.precision = choose_precision(precision, [device])
        # MMSegmentation prints what it loads, and warns of what SegFormer does without.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = read_config(run)
            plain = load_model(run, config, device).to(memory_format=torch.channels_last)
            self.pipeline = reading_pipeline(run, config)
            rewritten = speed_up(plain)
        self._model = rewritten or plain
        # What the first chips are compared with; None from then on.
        self._plain: BaseSegmentor | None = plain
        self._compiled = compiled
        self._draws_random_numbers = False
        self._drawing = threading.Lock()

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def probability(self, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]) -> torch.Tensor:
        """Softmax over the two classes: with logits l0 and l1 it is ``sigmoid(l1 - l0)``.

        Args:
            images: (3, h, w) uint8 each, as the config's test pipeline packs them.
            samples: what the pipeline says of them.

        Returns:
            (n, 512, 512) float32 on the device, probability of mine, 0 to 1.

        Raises:
            PipelineError: the model gives something else than finite numbers for a chip.
        """
        if self._plain is None:
            return self._probability_by(self._model, images, samples)
        probability = self._compared_with(self._plain, images, samples)
        self._plain = None
        if self._compiled:
            import torch

            self._model.encode_decode = torch.compile(self._model.encode_decode, dynamic=False)
        return probability

    def _compared_with(
        self, plain: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]
    ) -> torch.Tensor:
        """As ``probability``, for the first batch: uses the plain model from now on if the rewritten one differs."""
        few = min(_COMPARED, len(images))
        # Also where nothing was rewritten: this shows whether the model draws random numbers.
        expected = self._one_by_one(plain, images[:few], samples[:few])
        probability = self._probability_by(self._model, images, samples)
        if self._model is plain:
            return probability
        already_exact = not self.on_gpu and self.precision == FP32
        found = probability[:few] if already_exact else self._one_by_one(self._model, images[:few], samples[:few])
        difference = (found - expected).abs().max().item()
        if difference <= TOLERANCE:
            return probability
        _log.warning(
            "%s is run as it is: its faster form differs from it by %.2g in probability",
            self._run.config.stem,
            difference,
        )
        self._model = plain
        return self._probability_by(plain, images, samples)

    def _one_by_one(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]
    ) -> torch.Tensor:
        """As ``probability``, in float32; a batch that fits into the memory in fewer bits may not fit in these."""
        with exact_products():
            return self._seeded_one_by_one(model, images, samples, FP32)

    def _probability_by(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample]
    ) -> torch.Tensor:
        """As ``probability``, with a given model."""
        if self._draws_random_numbers:
            # Each chip draws the same, whatever its place in a batch.
            return self._seeded_one_by_one(model, images, samples, self.precision)
        return self._forward(model, images, samples, self.precision)

    def _seeded_one_by_one(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        import torch

        found = []
        for image, sample in zip(images, samples, strict=True):
            found.append(self._seeded(model, [image], [sample], precision))
        return torch.cat(found)

    def _seeded(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        """As ``_forward``, with the same random numbers every time; notes whether the model draws any."""
        import torch

        # Torch's generators are those of the whole process: other threads wait.
        with self._drawing, torch.random.fork_rng([self.device] if self.on_gpu else []):
            torch.manual_seed(SEED)
            before = self._generators()
            probability = self._forward(model, images, samples, precision)
            for state_before, state in zip(before, self._generators(), strict=True):
                if not torch.equal(state_before, state):
                    self._draws_random_numbers = True
        return probability

    def _generators(self) -> list[torch.Tensor]:
        """The states of the generators from which a model may draw."""
        import torch

        states = [torch.get_rng_state()]
        if self.on_gpu:
            states.append(torch.cuda.get_rng_state(self.device))
        return states

    def _forward(
        self, model: BaseSegmentor, images: Sequence[torch.Tensor], samples: Sequence[SegDataSample], precision: str
    ) -> torch.Tensor:
        """Run a model once on a batch: (n, 512, 512) float32, probability of mine."""
        import torch

        dtype = {FP32: None, BF16: torch.bfloat16, FP16: torch.float16}[precision]
        device_type = self.device.partition(":")[0]
        with torch.inference_mode(), torch.autocast(device_type, dtype, enabled=dtype is not None):
            data = model.data_preprocessor({"inputs": list(images), "data_samples": list(samples)}, False)
            inputs = data["inputs"].contiguous(memory_format=torch.channels_last)
            facts = [sample.metainfo for sample in data["data_samples"]]
            logits = model.inference(inputs, facts).float()
            # Of the logits: infinity would become a probability of 1.
            finite = logits.isfinite().flatten(1).all(dim=1)
            if not finite.all():
                first = int(finite.int().argmin())
                raise PipelineError(self._why_not_finite(facts[first], precision))
            if not _resized_or_padded(facts, logits):
                return _more_mine_than_background(logits).sigmoid()
            # MMSegmentation takes back what was done on the way in. It also turns single logits into probabilities.
            results = model.postprocess_result(logits, data["data_samples"])
            logits = torch.stack([result.seg_logits.data for result in results])
            return logits[:, 0] if logits.shape[1] == 1 else _more_mine_than_background(logits).sigmoid()

    def _why_not_finite(self, fact: dict, precision: str) -> str:
        """What to tell of a chip for which the model gives infinity or no number."""
        chip = fact.get("img_path", "a chip")
        weights = first_not_finite(self._model.state_dict())
        if weights:
            return (
                f"no probabilities for {chip}: {self._run.checkpoint} holds weights that are not finite ({weights}), "
                "as a training leaves that diverged; take an earlier checkpoint or train again"
            )
        if precision == FP16:
            return f"no finite probabilities for {chip}: beyond the range of fp16; choose --precision bf16 or fp32"
        return (
            f"no finite probabilities for {chip} in {precision} from {self._run.checkpoint}, whose weights are finite; "
            "take another checkpoint"
        )


def _require_device(device: str, run: ModelRun) -> None:
    """Refuse a GPU that is not there, before MMSegmentation takes its seconds to load.

    Raises:
        PipelineError: torch finds no such GPU.
    """
    import torch

    if not device.startswith("cuda"):
        return
    number, count = torch.device(device).index or 0, torch.cuda.device_count()
    if number >= count:
        raise PipelineError(
            f"cannot load {run.checkpoint} on {device}: torch finds {count or 'no'} {'GPU' if count == 1 else 'GPUs'} "
            "here; choose another with --devices"
        )


def _resized_or_padded(facts: Sequence[dict], logits: torch.Tensor) -> bool:
    """Whether chips were given to the model in another size than they have."""
    return any(tuple(fact["ori_shape"]) != logits.shape[2:] or "img_padding_size" in fact for fact in facts)


def _more_mine_than_background(logits: torch.Tensor) -> torch.Tensor:
    """The logit of mine: the only one of (n, 1, h, w), the difference of the two of (n, 2, h, w)."""
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
