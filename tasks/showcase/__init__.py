"""Programs that show what the networks do: demos, ablations, pictures."""
