"""The classifier of one sequence of messages: a conversation, or one author's messages in it.

Knows nothing of corpora, thresholds or files: features, a mask and perhaps a prior go in, logits come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from tenor.arguments import require_flags
from tenor.errors import UsageError
from tenor.nn.dropout import Dropout
from tenor.nn.initialization import initialize_weights
from tenor.nn.multiscale import MultiScalePool, check_kernel_sizes
from tenor.nn.packing import Packing, check_mask, pool_max, pool_mean
from tenor.nn.positional import PositionalEncoding
from tenor.nn.residual import ResidualBlock
from tenor.nn.transformer import TransformerEncoder


class SequenceClassifier(nn.Module):
    """Linear, positions, transformer encoder, multi-scale max and mean pool, residual head, logits.

    Beside this deep part stands a wide one (Cheng et al. 2016, "Wide & Deep Learning"), which starts at zero: the
    logits gain a linear function of the pooled features.

    A sequence's logits depend on its real messages alone, not on padding, neighbours or batch size. A
    sequence without messages has defined, finite logits: those of the pooled vector 0.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        input_size: int = 256,
        hidden_size: int = 256,
        num_layers: int = 2,
        num_heads: int = 8,
        dropout: float = 0.3,
        kernel_sizes: Sequence[int] = (3, 5, 7),
        num_classes: int = 2,
        has_prior: bool = False,
    ) -> None:
        """Build the model with freshly drawn weights.

        Args:
            input_size: features a message.
            hidden_size: width of the encoder; a multiple of num_heads.
            num_layers: transformer blocks; 0 is allowed.
            num_heads: attention heads.
            dropout: rate in [0, 1).
            kernel_sizes: odd widths of the convolutions, in messages.
            num_classes: 2 gives one logit a sequence, more give one a class.
            has_prior: whether forward takes logits of another model to be added.

        Raises:
            UsageError: a value outside these.
        """
        super().__init__()
        require_flags(has_prior=has_prior)
        sizes = check_kernel_sizes(kernel_sizes)
        _check_least(1, input_size=input_size, hidden_size=hidden_size, num_heads=num_heads)
        _check_least(0, num_layers=num_layers)
        _check_least(2, num_classes=num_classes)
        self._config: dict[str, Any] = {
            "input_size": input_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "dropout": dropout,
            "kernel_sizes": list(sizes),
            "num_classes": num_classes,
            "has_prior": bool(has_prior),  # numpy's have no form in JSON
        }
        self.input_size, self.num_classes, self.has_prior = input_size, num_classes, bool(has_prior)
        self.register_buffer("feature_mean", torch.zeros(input_size))
        self.register_buffer("feature_std", torch.ones(input_size))
        self.projection = nn.Linear(input_size, hidden_size)
        self.positions = PositionalEncoding(hidden_size, dropout)
        self.encoder = TransformerEncoder(hidden_size, num_layers, num_heads, dropout)
        self.multiscale = MultiScalePool(hidden_size, sizes)
        self.embedding_size = self.multiscale.output_size + hidden_size
        self.head = nn.Sequential(
            nn.Linear(self.embedding_size, hidden_size),
            ResidualBlock(hidden_size, dropout),
            nn.LayerNorm(hidden_size),
            Dropout(dropout),
            nn.Linear(hidden_size, 1 if num_classes == 2 else num_classes),
        )
        self.pooled = nn.Linear(2 * input_size + 1, 1 if num_classes == 2 else num_classes)
        initialize_weights(self)
        nn.init.zeros_(self.pooled.weight)

    def config(self) -> dict[str, Any]:
        """The arguments that build this model again, as plain JSON values."""
        return {**self._config, "kernel_sizes": list(self._config["kernel_sizes"])}

    @torch.no_grad()
    def set_scaling(self, mean: Any, std: Any) -> None:  # noqa: ANN401 - array or tensor
        """Set what features are standardised with: (x - mean) / std.

        Args:
            mean: (F,), finite.
            std: (F,), finite and above 0.

        Raises:
            UsageError: another shape, or a value outside these.
        """
        for name, given, buffer in (("mean", mean, self.feature_mean), ("std", std, self.feature_std)):
            values = torch.as_tensor(given).to(buffer)
            if values.shape != buffer.shape:
                raise UsageError(f"{name} must have shape ({self.input_size},), found {tuple(values.shape)}")
            if not bool(torch.isfinite(values).all()) or (name == "std" and not bool((values > 0).all())):
                raise UsageError(f"{name} must be finite{' and above 0' if name == 'std' else ''}")
            buffer.copy_(values)

    def forward(self, features: Tensor, mask: Tensor | None = None, prior: Tensor | None = None) -> Tensor:
        """Score sequences.

        Args:
            features: (B, T, F) of any float dtype; what stands at padding does not matter. T may be 0. Or packed,
                (M, F): the M real messages of the mask alone, one sequence after another.
            mask: (B, T) bool, True = a real message, wherever they stand; None = all are real. Best on the CPU, also
                where the features are on a GPU: one that lies there has to be fetched.
            prior: logits to add, (B,) or (B, C) as the result; for a model with has_prior.

        Returns:
            Logits: (B,) for two classes, (B, C) for more.

        Raises:
            UsageError: shapes or dtypes that do not fit, or a prior that is missing or not wanted.
        """
        return self.score_rows(*self._pack(features, mask), prior)

    def score_rows(self, rows: Tensor, packing: Packing, prior: Tensor | None = None) -> Tensor:
        """Score sequences whose packing is known; see forward.

        Args:
            rows: (M, F) as ``packing.pack`` gives them.
            packing: whose rows they are.
            prior: as in forward, B being the packing's batch size.
        """
        values = packing.fill(self._standardize(rows))
        pooled = packing.unpack(pool_messages(values, packing))
        logits: Tensor = self.head(self._embed(values, packing)) + self.pooled(pooled)
        if self.num_classes == 2:
            logits = logits.squeeze(1)
        if (prior is not None) != self.has_prior:
            raise UsageError(
                f"this model was built with has_prior={self.has_prior}: "
                + ("forward needs a prior" if self.has_prior else "forward takes no prior")
            )
        if prior is None:
            return logits
        if prior.shape != logits.shape:
            raise UsageError(f"prior must have shape {tuple(logits.shape)}, found {tuple(prior.shape)}")
        return logits + prior.to(logits.dtype)

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """The pooled vector of each sequence, before the head.

        Args:
            features: (B, T, F), or packed, as forward takes them.
            mask: (B, T) bool or None.

        Returns:
            (B, embedding_size); 0 for a sequence without messages.
        """
        rows, packing = self._pack(features, mask)
        return self._embed(packing.fill(self._standardize(rows)), packing)

    @torch.no_grad()
    def set_pooled(self, weight: Any, bias: Any) -> None:  # noqa: ANN401 - arrays or tensors
        """Set the linear model of pooled features that the rest of the network corrects.

        Args:
            weight: (D, 1) for two classes or (D, C), D = 2 * input_size + 1: for the mean and the maximum over the
                messages of each raw feature (before set_scaling's standardisation), and for log(1 + messages).
            bias: (1,) or (C,).
        """
        weight, bias = (torch.as_tensor(values).to(torch.float64) for values in (weight, bias))
        scale = torch.cat([self.feature_std, self.feature_std, self.feature_std.new_ones(1)]).double()
        shift = torch.cat([self.feature_mean, self.feature_mean, self.feature_mean.new_zeros(1)]).double()
        self.pooled.weight.copy_((weight.to(scale.device) * scale[:, None]).T)
        self.pooled.bias.copy_(bias.to(scale.device) + shift @ weight.to(scale.device))

    def _pack(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Packing]:
        """The real messages, (M, F), and whose they are."""
        self._check_features(features)
        if mask is None:
            if features.ndim == 2:
                raise UsageError("packed features need the mask that says whose they are")
            mask = torch.ones(features.shape[:2], dtype=torch.bool)
        check_mask(mask, features)
        # A CPU's products in half precision are by oneDNN, which writes a program for each new shape.
        few_shapes = features.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        packing = Packing.of(
            mask, is_packed=features.ndim == 2, few_shapes=few_shapes, device=features.device
        )
        return packing.pack(features), packing

    def _standardize(self, rows: Tensor) -> Tensor:
        return (rows.to(self.feature_mean.dtype) - self.feature_mean) / self.feature_std

    def _embed(self, values: Tensor, packing: Packing) -> Tensor:
        if not packing.blocks:
            return values.new_zeros(packing.batch_size, self.embedding_size)
        values = self.positions(self.projection(values), packing)  # (M, H)
        values = self.encoder(values, packing)
        return packing.unpack(
            torch.cat([self.multiscale(values, packing), pool_mean(values, packing)], dim=1)
        )

    def _check_features(self, features: Tensor) -> None:
        if features.ndim not in (2, 3) or not features.is_floating_point():
            raise UsageError(
                "features must be floats of shape (sequences, messages, features), or (real messages, features), "
                f"found {features.dtype} of shape {tuple(features.shape)}"
            )
        if features.shape[-1] != self.input_size:
            raise UsageError(
                f"the model reads {self.input_size} features a message, found {features.shape[-1]}: "
                "use the corpus encoded with the model's encoder"
            )


def _check_least(least: int, **sizes: object) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, Integral):  # True is 1
            raise UsageError(f"{name} must be a whole number, found {value!r}")
        if int(value) < least:
            raise UsageError(f"{name} must be at least {least}, found {value}")


def pool_messages(values: Tensor, packing: Packing) -> Tensor:
    """Mean and maximum over each sequence's messages of (M, F), and log(1 + messages), as ``pooled.pool_features``.

    Returns:
        (S, 2F + 1).
    """
    if not packing.blocks:
        return values.new_zeros(0, 2 * values.shape[1] + 1)
    counts = torch.log1p(packing.lengths.to(values.dtype))
    return torch.cat([pool_mean(values, packing), pool_max(values, packing), counts[:, None]], dim=1)
