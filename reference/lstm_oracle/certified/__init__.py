"""The hand derivation held against derivatives that are certain in every digit, by power series in ball arithmetic."""
