"""``python -m histoscope``: the same as ``histoscope``, where scripts are not on the path."""

from histoscope.cli.main import main

if __name__ == "__main__":
    main()
