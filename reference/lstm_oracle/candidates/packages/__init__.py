"""Known packages by name, each with an adapter of a few lines through which its LSTM is judged.

`lstm-oracle check torch` calls `lstm_oracle.candidates.packages.torch:lstm`, and so on. Each module here is an example
from which to start an adapter of your own.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Package:
    """A package that has an LSTM."""

    name: str  # on the command line
    title: str
    lstm: str  # the layer, cell or operator that is judged
    needs: dict[str, str]  # distributions to install, by the module that is imported; the package itself comes first
    dtypes: tuple[str, ...] = ("float64", "float32")  # the precisions that its LSTM supports

    @property
    def target(self) -> str:
        """The target name of the adapter, `pkg.module:adapter`."""
        return f"{__name__}.{self.name}:lstm"

    @property
    def missing(self) -> str:
        """The distributions to install with pip before the package can be judged; empty if there are none."""
        return " ".join(distribution for module, distribution in self.needs.items() if not find_spec(module))

    @property
    def version(self) -> str:
        """The installed version of the package itself; empty if it is not installed."""
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
