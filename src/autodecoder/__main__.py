"""`python -m autodecoder`: the console script."""

from autodecoder.cli.main import main

if __name__ == "__main__":
    main()
