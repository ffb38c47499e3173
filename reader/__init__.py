"""Reading and writing: datasets, the loader, and every file format."""
