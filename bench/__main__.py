"""`python -m bench`: see run.py. What multiprocessing spawns does not import this anew, as it would run.py."""

from bench.run import main

if __name__ == "__main__":
    main()
