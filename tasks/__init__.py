"""Train, validate and predict as loops over data; runs, their logs and their checkpoints."""
