"""What the oracle takes in: drawn cases, recorded runs, files, and weights as packages arrange them."""
