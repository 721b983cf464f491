"""`python -m criticality` is the command `criticality`."""

from criticality.cli import main

if __name__ == "__main__":
    main()
