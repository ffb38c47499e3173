"""`python -m maskflownet.kernels` builds the fast operators, or says in a line why it cannot."""

from maskflownet.kernels.build import CannotBuildError, build, library_path


def main() -> None:
    """Build the library; where that cannot be, MXNet's own operators serve, so it is no error."""
    library = library_path()
    try:
        build(library)
        print(f"The fast operators are built: {library}")
    except (CannotBuildError, OSError) as error:
        print(f"{error}: MXNet's own operators will run, which are slower")


if __name__ == "__main__":
    main()
