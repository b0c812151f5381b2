"""``python -m neurolim``: the same as the command ``neurolim``."""

from neurolim.cli import main

if __name__ == "__main__":
    main()
