"""`python -m bench`, see run.py. Separate, since multiprocessing imports the main module in each process."""

from bench.run import main

if __name__ == "__main__":
    main()
