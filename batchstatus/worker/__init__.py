"""The worker SDK behind `store.run`: count rows, report them under a lease, end the job."""
