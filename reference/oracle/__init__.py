"""The judge of LSTMs: draws runs, knows what they should give, and says where another gives it not."""
