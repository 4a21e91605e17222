"""``python -m phronesis``."""

from phronesis.cli.main import main

if __name__ == "__main__":
    main()
