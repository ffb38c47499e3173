"""Files of weights and of the optimizer: reading, checking, writing."""
