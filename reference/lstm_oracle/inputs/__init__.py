"""The inputs of the oracle: drawn cases, recorded runs, files, and the weight layouts of packages."""
