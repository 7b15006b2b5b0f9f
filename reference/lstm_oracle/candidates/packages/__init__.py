"""Known packages by name: how each one's own LSTM is judged, in an adapter of a few lines.

`lstm-oracle check torch` calls `lstm_oracle.candidates.packages.torch:lstm`, and so on. Each file here is
an example to start an adapter of your own from.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Package:
    """A package with an LSTM of its own."""

    name: str
    title: str
    lstm: str  # what is judged
    needs: dict[str, str]  # the distribution that pip installs, by the module that is imported; its own comes first
    dtypes: tuple[str, ...] = ("float64", "float32")  # that it takes

    @property
    def target(self) -> str:
        """The adapter, as `pkg.module:adapter`."""
        return f"{__name__}.{self.name}:lstm"

    @property
    def missing(self) -> str:
        """The distributions that are not installed, as pip takes them; empty where it can be judged."""
        return " ".join(distribution for module, distribution in self.needs.items() if not find_spec(module))

    @property
    def version(self) -> str:
        """That of the package itself; empty where it is not installed."""
        try:
            return version(next(iter(self.needs.values())))
        except PackageNotFoundError:
            return ""


PACKAGES = {
    package.name: package
    for package in (
        Package("torch", "PyTorch", "torch.nn.LSTM", {"torch": "torch"}),
        Package("flax", "Flax", "flax.linen.LSTMCell", {"flax": "flax"}),
        Package("equinox", "Equinox", "equinox.nn.LSTMCell", {"equinox": "equinox"}),
        Package("haiku", "Haiku", "haiku.LSTM", {"haiku": "dm-haiku"}),
        Package("keras", "Keras", "keras.layers.LSTM on JAX", {"keras": "keras"}),
        Package(
            "onnxruntime",
            "ONNX Runtime",
            "operator LSTM",
            {"onnxruntime": "onnxruntime", "onnx": "onnx"},
            dtypes=("float32",),
        ),
        Package("onnx", "ONNX", "operator LSTM, reference evaluator", {"onnx": "onnx"}),
        Package("jax", "JAX", "jax.experimental.rnn.lstm_ref", {"jax": "jax"}),
    )
}
