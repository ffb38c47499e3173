"""Both networks in PyTorch, and their training on GPUs that MXNet cannot run on. No MXNet here."""
